"""Many files at once: jobs on this machine or a cluster by joblib, a manifest, and going on where a run stopped.

Workers are told nothing but a :class:`Job` and answer with a :class:`Result`. An output that is there is whole, because
it is renamed into place; so a file whose worker was lost after that is found done by the worker that gets it next.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

from rtae.cli import message
from rtae.cli.denoise import denoise_file
from rtae.denoise import Denoiser
from rtae.errors import AudioFileError, DeviceError, MissingDependencyError, ParameterError, RtaeError
from rtae.shipped import find

MANIFEST = "rtae-manifest.jsonl"
"""Name of the manifest in the output folder: a JSON object a line, the newest of a target counts."""

SUFFIXES = frozenset(".aif .aifc .aiff .au .caf .flac .mp3 .oga .ogg .opus .rf64 .snd .w64 .wav".split())
"""Endings by which a sound file in a folder is known."""


@dataclass(frozen=True)
class Job:
    """One file to do, and what is known of it.

    Attributes
    ----------
    source, target : str
        The files, absolute.
    model : str
        Path or name of the model.
    attenuation_limit_db : float or None
        As of :class:`rtae.Denoiser`.
    force : bool
        Replace a target that is there.
    done_digest : str
        Digest of the source from which this target was made by the same model and limit; empty if it was not.
    fresh : bool
        There was no target when the run that first took the file began: one that is there now was made by it.
    """

    source: str
    target: str
    model: str
    attenuation_limit_db: float | None
    force: bool
    done_digest: str
    fresh: bool


@dataclass(frozen=True)
class Result:
    """What became of a job: ``status`` is "done", "skipped" (it was done before) or "failed"."""

    source: str
    target: str
    status: str
    digest: str = ""
    seconds: float = 0.0
    error: str = ""
    worker: str = ""


def work(job: Job) -> Result:
    """Do one job, in whatever process; an error of the file is a result."""
    source, target = Path(job.source), Path(job.target)
    worker = f"{os.uname().nodename if hasattr(os, 'uname') else ''}:{os.getpid()}"
    digest, seconds, status, error = "", 0.0, "done", ""
    try:
        digest = _digest(source)
        if target.exists() and job.done_digest == digest:
            status = "skipped"
        elif not (target.exists() and job.fresh):
            target.parent.mkdir(parents=True, exist_ok=True)
            seconds = denoise_file(
                source,
                target,
                lambda rate, channels: Denoiser(
                    job.model, sample_rate=rate, channels=channels, attenuation_limit_db=job.attenuation_limit_db
                ),
                # Made by rtae from another state of the source: it is not the user's to lose.
                force=job.force or bool(job.done_digest),
                advance=lambda samples, total: None,
            )
    except RtaeError as failure:
        status, error = "failed", message(failure)
    except OSError as failure:
        status, error = "failed", f"rtae: '{source}': {failure.strerror}"
    return Result(job.source, job.target, status, digest, seconds, error, worker)


def sound_files(folder: Path, without: Path) -> list[Path]:
    """Return the sound files below a folder, sorted; those below ``without``, the outputs, are not inputs.

    Raises
    ------
    AudioFileError
        If there are none.
    """
    outputs = without.resolve()
    found = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES and path.is_file() and outputs not in path.resolve().parents
    )
    if not found:
        raise AudioFileError(f"no sound files in '{folder}'; looked for {', '.join(sorted(SUFFIXES))}")
    return found


def run_batch(
    pairs: Sequence[tuple[Path, Path]],
    folder: Path,
    *,
    model: str,
    attenuation_limit_db: float | None,
    force: bool,
    jobs: int,
    dask: str | None,
) -> int:
    """Denoise many files and keep a manifest in the folder they go to; return the exit status.

    Raises
    ------
    RtaeError
        If joblib or dask is missing, the scheduler cannot be reached, or the manifest cannot be written.
    """
    recipe = {"model_sha256": _digest(find(model)), "attenuation_limit_db": attenuation_limit_db}
    records = _read(folder / MANIFEST)
    todo = [
        _job(source, target, records.get(_name(target, folder), {}), recipe, str(find(model)), force)
        for source, target in pairs
    ]
    counts = {"done": 0, "skipped": 0, "failed": 0}
    seconds, failures, stopped = 0.0, [], ""
    console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with (
        _appending(folder / MANIFEST) as manifest,
        Progress(*columns, console=console, disable=not console.is_terminal) as progress,
        _workers(jobs, dask, console) as results,
    ):
        task = progress.add_task("", total=len(todo))
        for job in todo:
            if job.fresh:
                _note(manifest, job.target, folder, {"status": "started", "source": job.source, **recipe})
        try:
            for result in results(todo):
                counts[result.status] += 1
                seconds += result.seconds
                if result.status == "failed":
                    failures.append(result.error)
                if result.status != "skipped":
                    _note(manifest, result.target, folder, {**dataclasses.asdict(result), **recipe})
                progress.advance(task)
        except RtaeError:
            raise
        except Exception as error:  # a cluster that loses too many workers takes joblib's run along, with its own error
            stopped = f"rtae: stopped, a worker died ({type(error).__name__}); the same command again goes on from here"
    for line in [*failures, stopped]:
        if line:
            console.print(line)
    left = len(todo) - counts["done"] - counts["skipped"]
    print(f"{counts['done']} done, {counts['skipped']} skipped (done before), {left} failed, {seconds:.1f} s of audio")
    return 0 if not left else 1 if left < len(todo) else 2


def _job(
    source: Path, target: Path, record: Mapping[str, Any], recipe: Mapping[str, Any], model: str, force: bool
) -> Job:
    same = all(record.get(key) == value for key, value in recipe.items())
    status = record.get("status")
    return Job(
        source=str(source.absolute()),
        target=str(target.absolute()),
        model=model,
        attenuation_limit_db=recipe["attenuation_limit_db"],
        force=force,
        done_digest=str(record["digest"]) if status == "done" and same else "",
        # An interrupted run began with no target there: one that is there now is that run's, and whole.
        fresh=not target.exists() or (status == "started" and same and not force and not _newer(source, target)),
    )


def _newer(source: Path, target: Path) -> bool:
    return source.exists() and source.stat().st_mtime_ns > target.stat().st_mtime_ns


@contextmanager
def _workers(jobs: int, dask: str | None, console: Console) -> Iterator[Any]:
    """Give a function that runs jobs and yields their results as they come, on this machine or a cluster."""
    if jobs == 1 and dask is None:
        yield lambda todo: map(work, todo)
        return
    try:
        import joblib
    except ImportError:
        raise MissingDependencyError("--jobs and --dask need joblib; pip install 'rtae[batch]'") from None
    parallel: dict[str, Any] = {"return_as": "generator_unordered", "batch_size": 1}

    def run(todo: Iterable[Job]) -> Iterable[Result]:
        results: Iterable[Result] = joblib.Parallel(**parallel)(joblib.delayed(work)(job) for job in todo)
        return results

    if dask is None:
        parallel["n_jobs"] = jobs
        yield lambda todo: outlive(run, todo, jobs)
        return
    try:
        from distributed import Client
    except ImportError:
        raise MissingDependencyError("--dask needs dask's scheduler; pip install 'rtae[batch]'") from None
    try:
        client = Client(dask, timeout=10)  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as error:
        raise DeviceError(f"no dask scheduler at {dask} ({error}); start one with 'dask scheduler'") from None
    with client:
        before = set(client.scheduler_info(n_workers=-1)["workers"])
        if not before:
            raise ParameterError(f"the dask scheduler at {dask} has no workers; start some with 'dask worker {dask}'")
        with joblib.parallel_config(backend="dask"):
            yield run
        lost = before - set(client.scheduler_info(n_workers=-1)["workers"])
        if lost:
            console.print(f"rtae: {len(lost)} of {len(before)} workers lost on the way; the others did their files")


def outlive(run: Callable[[list[Job]], Iterable[Result]], todo: Sequence[Job], jobs: int) -> Iterator[Result]:
    """Yield a result for each job, whatever its worker dies of: a file that kills it fails alone.

    A worker that dies takes the others of this machine along, and nobody knows with which file. So those that may have
    been under way are tried one by one, and then the rest goes on as before.

    Parameters
    ----------
    run : callable
        Does jobs in order, `jobs` of them at once and as many waiting, in processes that are not this one.
    todo : sequence of Job
        What to do.
    jobs : int
        Number of processes.
    """
    left = {job.target: job for job in todo}
    while left:
        try:
            for result in run(list(left.values())):
                del left[result.target]
                yield result
        except BrokenProcessPool:
            for job in list(left.values())[: 2 * jobs]:
                try:
                    (result,) = run([job])
                except BrokenProcessPool:
                    error = f"rtae: '{job.source}': the process that had it died; was there enough memory?"
                    result = Result(job.source, job.target, "failed", error=error)
                del left[job.target]
                yield result


@contextmanager
def _appending(path: Path) -> Iterator[TextIO]:
    try:
        file = path.open("a", encoding="utf-8")
    except OSError as error:
        raise AudioFileError(f"cannot write the manifest '{path}': {error.strerror}") from None
    with file:
        yield file


def _note(manifest: TextIO, target: str, folder: Path, fields: Mapping[str, Any]) -> None:
    manifest.write(json.dumps({**fields, "target": _name(Path(target), folder)}) + "\n")
    manifest.flush()


def _read(path: Path) -> dict[str, dict[str, Any]]:
    """Return the newest record of each target. A line that is cut, by a run that was killed, tells nothing."""
    records = {}
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                record = json.loads(line)
                records[str(record["target"])] = record
            except (ValueError, KeyError, TypeError):
                continue
    return records


def _name(target: Path, folder: Path) -> str:
    return target.absolute().relative_to(folder.absolute()).as_posix()


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
