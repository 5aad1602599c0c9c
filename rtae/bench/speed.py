"""Everything about the speed of one system: hop times under loads, variants, streams, start, memory."""

from __future__ import annotations

import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rtae.bench.checks import difference
from rtae.bench.driver import Driver, open_session
from rtae.bench.hops import Steppable, agreement, noise, time_calls, time_hops
from rtae.bench.layout import Layout, recognise
from rtae.bench.load import LOADS
from rtae.bench.machine import resident_mib
from rtae.bench.nodes import operator_costs
from rtae.bench.probe import speech_like
from rtae.bench.streams import streams_per_core
from rtae.bench.systems import stepper
from rtae.denoise import Denoiser, denoise
from rtae.errors import ModelFormatError
from rtae.model import Model

BLOCKS = (64, 128, 256, 480, 512, 1024)
"""Sizes at which hosts hand over audio."""
THREADS = (1, 2)
_ALLOCATION_HOPS = 200
_FILE_S = 10.0
_CORRECT_S = 2.0


@dataclass(frozen=True)
class Extent:
    """How much to measure.

    Attributes
    ----------
    hops : int
        Hops of each measurement.
    loads : sequence of str
        Keys of :data:`rtae.bench.load.LOADS`.
    streams, variants : bool
        Whether to count streams per core; to try block sizes, threads and execution providers.
    """

    hops: int = 3000
    loads: Sequence[str] = ("idle", "cpu", "interpreter")
    streams: bool = True
    variants: bool = True


def measure_system(make: Callable[[], Steppable], extent: Extent) -> dict[str, Any]:
    """Measure a system: start, first hop, hop times under loads, memory.

    Parameters
    ----------
    make : callable
        Makes the system, from nothing; the time it takes is the start-up time.
    extent : Extent
        How much.
    """
    begin = time.perf_counter()
    system = make()
    started = time.perf_counter()
    system.step(noise(1, system.hop)[0])
    first = time.perf_counter()
    loads = {}
    for name in extent.loads:
        with LOADS[name]():
            loads[name] = time_hops(system, extent.hops).as_dict()
    return {
        "name": system.name,
        "sample_rate": system.sample_rate,
        "hop": system.hop,
        "start_ms": 1e3 * (started - begin),
        "first_hop_ms": 1e3 * (first - started),
        "loads": loads,
        **_memory(system, extent.hops),
    }


def measure_model(path: Path, extent: Extent) -> dict[str, Any]:
    """Measure what a model of rtae has beside what :func:`measure_network` does: start, blocks, streams, files, error.

    ``run_time`` is the time of a step by the run time of rtae over that of a plain onnxruntime loop: what the one adds,
    or saves. ``error`` is the largest difference between what the two give, relative to the peak (of codes the share
    that differs).
    """
    session = open_session(path)
    layout = recognise(session)
    driver = Driver(session, layout)
    denoises = layout.frame == "wave"
    result = measure_network(path, extent) | {
        "start_ms": _load_ms(path),
        "new_process_ms": _new_process_ms(path),
        "run_time": agreement(_timed(path, layout), _plain_loop(path, layout), _frames(driver, extent)),
        "error": _error(path, layout, driver),
    }
    if denoises:
        result["file_times_real_time"] = _throughput(path, layout.sample_rate)
        if extent.variants:
            result["blocks"] = _blocks(path, layout, extent.hops // 4)
    if extent.streams:
        result["streams"] = streams_per_core(path)
    return result


def measure_network(path: Path, extent: Extent) -> dict[str, Any]:
    """Measure what any network of a known layout has: size, nodes, threads and providers; and check the bench's clock.

    ``agreement`` is the time of a step, clocked hop by hop, over that of a plain onnxruntime loop in the same run.
    """
    session = open_session(path)
    layout = recognise(session)
    driver = Driver(session, layout)
    frames = _frames(driver, extent)
    costs = operator_costs(path, layout, np.stack(frames[:100]))
    result: dict[str, Any] = {
        "size_bytes": path.stat().st_size,
        "nodes": sum(item.nodes for item in costs),
        "operators": [{"operator": item.operator, "us": item.microseconds, "nodes": item.nodes} for item in costs[:8]],
        "agreement": agreement(driver.step, _plain_loop(path, layout), frames),
    }
    if extent.variants:
        result["variants"] = _variants(path, layout, frames)
    return result


def _frames(driver: Driver, extent: Extent) -> list[np.ndarray]:
    return list(driver.frames(noise(1, driver.layout.hop * max(400, extent.hops // 4))))


def _timed(path: Path, layout: Layout) -> Callable[[np.ndarray], object]:
    """Return the step that the bench times: of a denoiser the whole run time around the model, one hop a block."""
    if layout.frame != "wave":
        return stepper(Model(path))
    engine = Denoiser(path, sample_rate=layout.sample_rate, block_size=layout.hop)
    out = np.empty(layout.hop, np.float32)
    return lambda frame: engine.process(frame[0], out=out)


def _load_ms(path: Path) -> float:
    """Time to load the model where others were loaded before."""
    begin = time.perf_counter()
    Model(path)
    return 1e3 * (time.perf_counter() - begin)


def _new_process_ms(path: Path) -> float:
    """Time from the start of a new interpreter until the model is loaded (and has run twice) in it."""
    begin = time.perf_counter()
    program = "import sys, rtae.model; rtae.model.Model(sys.argv[1])"
    result = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True)
    elapsed = time.perf_counter() - begin
    if result.returncode:
        raise ModelFormatError(f"{path} does not load in a process of its own: {result.stderr.strip()[-200:]}")
    return 1e3 * elapsed


def _plain_loop(path: Path, layout: Layout) -> Callable[[np.ndarray], None]:
    """Return a step that shares nothing with the one it is to judge: onnxruntime, written out."""
    session = open_session(path)
    names = [layout.output, *(name for _, name in layout.states)]
    feed = {
        item.name: np.full(
            [size if isinstance(size, int) else 1 for size in item.shape],
            layout.constants.get(item.name, 0.0),
            {"tensor(int64)": np.int64, "tensor(double)": np.float64}.get(item.type, np.float32),
        )
        for item in session.get_inputs()
    }

    def plain(frame: np.ndarray) -> None:
        feed[layout.input] = frame
        made = session.run(names, feed)
        for (name, _), state in zip(layout.states, made[1:], strict=True):
            feed[name] = state

    return plain


def _error(path: Path, layout: Layout, driver: Driver) -> float:
    """Hold what the run time gives against a plain loop: a time says nothing of a wrong result."""
    audio = speech_like(layout.sample_rate, _CORRECT_S)[np.newaxis]
    frames = driver.frames(audio)
    plain = driver.run(frames)
    if layout.frame != "wave":
        step = stepper(Model(path))
        return difference(np.stack([step(frame).copy() for frame in frames]), plain)
    sound = driver.sound(plain, audio)
    assert sound is not None
    engine = Denoiser(path, sample_rate=layout.sample_rate, block_size=layout.hop)
    return difference(engine.process(audio[0, : sound.shape[1]]), sound[0])


def _throughput(path: Path, sample_rate: int) -> float:
    audio = noise(1, round(_FILE_S * sample_rate))[0]
    begin = time.perf_counter()
    denoise(audio, sample_rate, path)
    return _FILE_S / (time.perf_counter() - begin)


def _blocks(path: Path, layout: Layout, count: int) -> list[dict[str, Any]]:
    rows = []
    for block in sorted({*BLOCKS, layout.hop}):
        denoiser = Denoiser(path, sample_rate=layout.sample_rate, block_size=block)
        times = time_calls(denoiser.process, list(noise(max(count, 200), block)), block / layout.sample_rate)
        figures = times.as_dict()
        names = ("p50_ms", "p99_ms", "max_ms", "rtf", "late", "deadline_ms")
        rows.append({"block": block, "delay": denoiser.delay, **{name: figures[name] for name in names}})
    return rows


def _variants(path: Path, layout: Layout, frames: Sequence[np.ndarray]) -> list[dict[str, Any]]:
    import onnxruntime

    rows = []
    for provider in onnxruntime.get_available_providers():
        if provider in ("AzureExecutionProvider", "TensorrtExecutionProvider"):
            continue  # one sends the audio away, the other compiles for minutes
        for threads in THREADS:
            session = open_session(path, threads=threads, provider=provider)
            if provider not in session.get_providers():
                continue  # its device or driver is missing, and onnxruntime took the processor instead
            driver = Driver(session, layout)
            figures = time_calls(driver.step, frames, layout.hop / layout.sample_rate).as_dict()
            rows.append(
                {"provider": provider, "threads": threads, "p50_ms": figures["p50_ms"], "p99_ms": figures["p99_ms"]}
            )
    return rows


def _memory(system: Steppable, hops: int) -> dict[str, Any]:
    pieces = noise(_ALLOCATION_HOPS, system.hop)
    for piece in pieces:
        system.step(piece)
    before = resident_mib()
    for index in range(hops):
        system.step(pieces[index % len(pieces)])
    after = resident_mib()
    tracemalloc.start()
    try:
        kept = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        for piece in pieces:
            system.step(piece)
        now, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return {
        "memory_growth_mib": None if before is None or after is None else after - before,
        "allocation_kept_bytes_a_hop": (now - kept) / len(pieces),
        "allocation_peak_bytes": peak - kept,
    }
