"""What a streaming model must keep to be used live, each as a function that looks and says what it found."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rtae.bench.delay import measure_delay
from rtae.bench.driver import Array, Driver, open_session
from rtae.bench.layout import Layout
from rtae.bench.machine import resident_mib
from rtae.bench.probe import speech_like
from rtae.errors import ModelFormatError

SECONDS = 2.0
TOLERANCE = 1e-4
"""Largest difference, relative to the peak, between ways of computing the same."""
RECOVERY_S = 2.0
"""Seconds after which nothing of a bad block may be left."""
SILENCE_DB = -60.0
LOUDEST = 4.0
SLOWEST_DENORMAL = 3.0
"""Most that a hop of vanishing signal may cost, in hops of speech."""
MEMORY_MIB = 2.0
_MEMORY_HOPS = 3000
_PATIENCE_S = 300


@dataclass(frozen=True)
class Finding:
    """What one check found.

    Attributes
    ----------
    name, verdict, reason : str
        Name of the check; ``pass``, ``fail`` or ``skip``; the figure or the fault, for a person.
    """

    name: str
    verdict: str
    reason: str


class Subject:
    """A model under test.

    Parameters
    ----------
    path : Path
        Its file.
    layout : Layout
        How to drive it.
    """

    def __init__(self, path: Path, layout: Layout) -> None:
        self.path, self.layout = path, layout
        self.session = open_session(path)
        self.driver = Driver(self.session, layout)
        self.batched = self.driver.batched
        self.speech = speech_like(layout.sample_rate, SECONDS)[np.newaxis]
        self.frames = self.driver.frames(self.speech)
        self.outputs = self.driver.run(self.frames)

    @functools.cached_property
    def apart(self) -> tuple[Array, dict[str, float]]:
        """What another process makes of the same speech, and how a dying signal fares there.

        Raises
        ------
        ModelFormatError
            If the model fails there.
        """
        with tempfile.TemporaryDirectory() as folder:
            frames, outputs = Path(folder) / "frames.npy", Path(folder) / "outputs.npy"
            np.save(frames, self.frames)
            program = [sys.executable, "-m", "rtae.bench.apart", *map(str, (self.path, frames, outputs))]
            given = json.dumps(self.layout.as_dict())
            result = subprocess.run(program, input=given, capture_output=True, text=True, timeout=_PATIENCE_S)
            if result.returncode:
                reason = result.stderr.strip().rpartition("\n")[2] or "no reason given"
                raise ModelFormatError(f"{self.path} fails in a process of its own: {reason}")
            return np.load(outputs), json.loads(result.stdout)

    def fresh(self, **options: int | bool) -> Driver:
        """Return a driver on a session of its own."""
        return Driver(open_session(self.path, **options), self.layout)  # type: ignore[arg-type]

    def hops(self, seconds: float) -> int:
        """Return the number of hops in a time, at least one."""
        return max(1, round(seconds * self.layout.sample_rate / self.layout.hop))


def difference(first: Array, second: Array) -> float:
    """Largest difference relative to the peak of the second; of integers the share that differs."""
    assert first.shape == second.shape and first.size
    if first.dtype.kind in "iu":
        return float(np.mean(first != second))
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        return float("inf")
    return float(np.max(np.abs(first - second)) / max(float(np.max(np.abs(second))), 1e-9))


def _same(name: str, found: float, good: str, bad: str, tolerance: float = TOLERANCE) -> Finding:
    text = f"{good} (to {found:.1g})" if found <= tolerance else f"{bad}: {found:.2g} of the peak"
    return Finding(name, "pass" if found <= tolerance else "fail", text)


def finite(subject: Subject) -> Finding:
    """Speech must come out as numbers."""
    good = bool(np.isfinite(subject.outputs).all()) and bool(np.any(subject.outputs))
    return Finding("output", "pass" if good else "fail", "finite" if good else "speech gives nothing, NaN or infinity")


def parity(subject: Subject) -> Finding:
    """Streaming must be what the unoptimised graph makes of the whole signal."""
    plain = subject.fresh(optimised=False)
    if subject.driver.any_length:
        whole = plain.step(subject.frames.transpose(1, 0, 2).reshape(1, -1))
        streamed = subject.outputs.transpose(1, 0, 2).reshape(1, -1)
        if whole.shape != streamed.shape:
            return Finding("parity", "fail", f"whole signal gives {whole.shape}, hop by hop {streamed.shape}")
        return _same("parity", difference(streamed, whole), "hop by hop is the whole at once", "hop by hop differs")
    found = difference(subject.outputs, plain.run(subject.frames))
    return _same("parity", found, "streaming is the plain graph", "optimised and plain graph differ")


def reset(subject: Subject) -> Finding:
    """After a reset the model must do what it did when it was fresh."""
    driver = subject.fresh()
    first = driver.run(subject.frames)
    found = difference(driver.run(subject.frames), first)
    return _same("reset", found, "like new after a reset", "something survives a reset", 0.0)


def block_size(subject: Subject) -> Finding:
    """Where blocks end must not be heard."""
    if not subject.driver.any_length:
        return Finding("block size", "skip", f"the file takes {subject.layout.hop} samples a step and no other")
    wave = subject.frames.transpose(1, 0, 2).reshape(1, -1)
    streamed = subject.outputs.transpose(1, 0, 2).reshape(1, -1)
    worst, at = 0.0, 0
    for size in (subject.layout.hop // 2 or 1, 2 * subject.layout.hop, 127, 1009):
        driver = subject.fresh()
        parts = [driver.step(wave[:, start : start + size]) for start in range(0, wave.shape[1], size)]
        found = difference(np.concatenate(parts, axis=1), streamed)
        worst, at = (found, size) if found > worst else (worst, at)
    return _same("block size", worst, "any block size gives the same", f"blocks of {at} sound otherwise")


def delay(subject: Subject) -> Finding:
    """Speech must come out when the model says."""
    sound = subject.driver.sound(subject.outputs, subject.speech)
    if sound is None:
        return Finding("delay", "skip", "what comes out is no signal")
    if subject.layout.frame == "codes":
        return Finding("delay", "skip", "codes go in; measured with the codec as a whole")
    declared = subject.layout.delay
    longest = (declared or 0) + subject.layout.sample_rate // 4
    found = measure_delay(subject.speech[0], sound[0], subject.layout.sample_rate, longest_samples=longest)
    if declared is None:
        return Finding("delay", "skip", f"none declared; measured: {found}")
    if found.delay_samples is None:
        return Finding("delay", "fail", f"declared {declared}, measured: {found}; the output does not follow speech")
    good = abs(found.delay_samples - declared) <= 0.5
    return Finding("delay", "pass" if good else "fail", f"declared {declared} samples, measured {found}")


def rows(subject: Subject) -> Finding:
    """Streams run together must not hear each other."""
    if not subject.batched:
        return Finding("rows", "skip", "one stream at a time")
    rate = subject.layout.sample_rate
    signals = np.concatenate([speech_like(rate, SECONDS / 2, seed) for seed in (0, 1, 2)]).reshape(3, -1)
    signals[1] *= 3.0
    together = Driver(subject.session, subject.layout, rows=3)
    mixed = together.run(together.frames(signals))
    worst = 0.0
    for row in range(3):
        alone = subject.driver.run(subject.driver.frames(signals[row : row + 1]))
        worst = max(worst, difference(mixed[:, row], alone[:, 0]))
    return _same("rows", worst, "streams in a batch are independent", "streams in a batch leak into each other", 1e-3)


def recovery(subject: Subject) -> Finding:
    """Forget a block of NaN, infinity or nonsense."""
    if subject.frames.dtype.kind != "f":
        return Finding("recovery", "skip", "integers go in")
    for bad in (np.nan, np.inf, 1e30):
        frames = subject.frames[: subject.hops(RECOVERY_S)].copy()
        frames[1] = bad
        with np.errstate(all="ignore"):
            last = subject.driver.run(frames)[-1]
        if not np.isfinite(last).all():
            return Finding("recovery", "fail", f"one frame of {bad:g} sticks: still no numbers {RECOVERY_S:g} s later")
    return Finding("recovery", "pass", "NaN, infinity and 1e30 are forgotten")


def denormals(subject: Subject) -> Finding:
    """Hold no denormal numbers when a signal dies away: they cost up to a hundred times as much.

    Not every processor is slow with them, so the time alone does not tell; what the states hold does.
    """
    found = subject.apart[1]
    slow, share = found["slow_down"], found["share"]
    text = f"a dying signal costs {slow:.2f} x speech (this processor's own factor: {found['processor']:.1f})"
    if found["steps"]:
        text += f"; up to {share:.0%} of a state are denormal, in {found['steps']:.0f} steps"
    good = slow <= SLOWEST_DENORMAL and not found["steps"]
    return Finding("denormals", "pass" if good else "fail", text)


def _sound_of(subject: Subject, wave: NDArray[np.floating]) -> NDArray[np.float32] | None:
    signals = wave.astype(np.float32)[np.newaxis]
    outputs = subject.driver.run(subject.driver.frames(signals))
    sound = subject.driver.sound(outputs, signals)
    return None if sound is None or subject.layout.frame == "codes" else sound[0]


def silence(subject: Subject) -> Finding:
    """Silence must stay silence, also after speech."""
    rate = subject.layout.sample_rate
    quiet = np.zeros(2 * rate)
    for name, wave in (("", quiet), (" after speech", np.concatenate([subject.speech[0], quiet]))):
        sound = _sound_of(subject, wave)
        if sound is None:
            return Finding("silence", "skip", "no signal goes in, or none comes out")
        level = 20 * np.log10(max(float(np.max(np.abs(sound[-rate // 2 :]))), 1e-10))
        if not level <= SILENCE_DB:
            return Finding("silence", "fail", f"silence{name} comes out at {level:.0f} dBFS peak")
    return Finding("silence", "pass", f"stays at {level:.0f} dBFS or below")


def loud(subject: Subject) -> Finding:
    """Full scale and a constant must give a bounded signal."""
    rate = subject.layout.sample_rate
    time = np.arange(rate) / rate
    signals = {
        "a full-scale sine": np.sin(2 * np.pi * 440 * time),
        "a full-scale square": np.sign(np.sin(2 * np.pi * 100 * time) + 1e-9),
        "full-scale noise": np.random.default_rng(0).choice([-1.0, 1.0], rate),
        "a constant of 0.5": np.full(rate, 0.5),
    }
    peak = 0.0
    for name, wave in signals.items():
        sound = _sound_of(subject, wave)
        if sound is None:
            return Finding("full scale, DC", "skip", "no signal goes in, or none comes out")
        here = float(np.max(np.abs(sound)))
        if not here <= LOUDEST:
            return Finding("full scale, DC", "fail", f"{name} comes out with a peak of {here:.3g}")
        peak = max(peak, here)
    return Finding("full scale, DC", "pass", f"peak at most {peak:.2f}")


def determinism(subject: Subject) -> Finding:
    """Give the same in every session and process, whatever the number of threads."""
    found = difference(subject.fresh().run(subject.frames), subject.outputs)
    if found:
        return Finding("determinism", "fail", f"two sessions differ: {found:.2g} of the peak")
    elsewhere = difference(subject.apart[0], subject.outputs)
    if elsewhere > TOLERANCE:
        return Finding("determinism", "fail", f"another process gives something else: {elsewhere:.2g} of the peak")
    threads = difference(subject.fresh(threads=2).run(subject.frames), subject.outputs)
    return _same(
        "determinism", threads, "sessions, processes and threads give the same", "two threads give something else"
    )


def memory(subject: Subject) -> Finding:
    """Take no more and more memory."""
    frame = subject.frames[0]
    driver = subject.driver
    driver.reset()
    levels = []
    for _ in range(3):
        for _ in range(_MEMORY_HOPS // 3):
            driver.step(frame)
        levels.append(resident_mib())
    if None in levels:
        return Finding("memory", "skip", "this system does not tell")
    growth = float(levels[-1] or 0) - float(levels[0] or 0)
    good = growth <= MEMORY_MIB
    return Finding("memory", "pass" if good else "fail", f"{growth:+.2f} MiB in {2 * _MEMORY_HOPS // 3} steps")


CHECKS: tuple[Callable[[Subject], Finding], ...] = (
    finite, parity, reset, block_size, delay, rows, recovery, denormals, silence, loud, determinism, memory,
)  # fmt: skip
"""In the order they are made."""
