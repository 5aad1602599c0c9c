"""Looking at the audio of a running stream: newest samples for a spectrum, ten seconds for a comparison."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rtae.live.backend import Audio
from rtae.live.board import Board
from rtae.live.config import StreamFacts
from rtae.live.report import decibels
from rtae.live.tagged import TaggedRing

BANDS = 20
"""Bands of a spectrum, evenly spaced over the logarithm of the frequency."""

LOWEST_HZ = 60.0

KEPT_S = 0.4
"""How far back :meth:`Tap.since` looks, in seconds: less than the rings keep, whose oldest blocks are written anew."""

_WINDOW_S = 0.085
_POLL_S = 0.05


@dataclass(frozen=True)
class Spectrum:
    """Levels of the newest audio in bands, before and after processing.

    Attributes
    ----------
    centres_hz : tuple of float
        Centre of each band.
    before_db, after_db : tuple of float
        Power in each band, in dBFS.
    """

    centres_hz: tuple[float, ...]
    before_db: tuple[float, ...]
    after_db: tuple[float, ...]

    @property
    def removed_db(self) -> tuple[float, ...]:
        """What processing takes away in each band, in decibels."""
        return tuple(before - after for before, after in zip(self.before_db, self.after_db, strict=True))


@dataclass(frozen=True)
class Recording:
    """Numbers of a before/after recording.

    Attributes
    ----------
    before, after : Path
        The files, aligned to the sample.
    seconds : float
        Length of each.
    level_before_db, level_after_db, quiet_before_db, quiet_after_db : float
        Level over all, and in the quietest tenth of the time (the noise), in dBFS.
    late : int
        Blocks that came too late meanwhile.
    """

    before: Path
    after: Path
    seconds: float
    level_before_db: float
    level_after_db: float
    quiet_before_db: float
    quiet_after_db: float
    late: int

    def __str__(self) -> str:
        """Return the recording in one line."""
        return (
            f"recorded {self.before} and {self.after}: "
            f"level {self.level_before_db:.1f} -> {self.level_after_db:.1f} dBFS, "
            f"noise {self.quiet_before_db:.1f} -> {self.quiet_after_db:.1f} dBFS, late {self.late}"
        )


class Tap:
    """Reads the rings of a running stream without disturbing it.

    Parameters
    ----------
    board : Board
        The stream's board.
    facts : StreamFacts
        What the stream is.
    rings : pair of TaggedRing
        Input blocks and output blocks.
    """

    def __init__(self, board: Board, facts: StreamFacts, rings: tuple[TaggedRing, TaggedRing]) -> None:
        self._board = board
        self._facts = facts
        self._heard, self._made = rings
        rate = facts.latency.sample_rate
        self._delay = facts.latency.model + facts.latency.hop_wait
        self._kept = round(KEPT_S * rate / facts.block_size)
        size = 1 << math.ceil(math.log2(_WINDOW_S * rate))
        self._window: Audio = np.hanning(size).astype(np.float32)[:, None]
        edges = np.geomspace(LOWEST_HZ, 0.45 * rate, BANDS + 1)
        self._centres = tuple(float(value) for value in np.sqrt(edges[1:] * edges[:-1]))
        bins = np.fft.rfftfreq(size, 1 / rate)
        self._starts = np.searchsorted(bins, edges)

    def spectrum(self) -> Spectrum:
        """Return the bands of the newest audio."""
        block = self._facts.block_size
        end = int(self._board.processed[0]) * block
        levels = []
        for ring in (self._heard, self._made):
            newest = np.zeros((len(self._window), self._facts.channels), np.float32)
            if end >= len(newest):
                ring.copy_span(end - len(newest), newest)
            levels.append(self._bands(newest))
        return Spectrum(self._centres, *levels)

    def since(self, number: int = -1) -> tuple[int, Audio, Audio]:
        """Return what was processed since an earlier call: the number to ask with next, the audio before and after.

        Both have shape ``(samples, channels)`` and are aligned: the input is delayed as the output is. Where a result
        came too late the output is the input, as it was heard. What is older than :data:`KEPT_S` is left out, and so
        is everything for a number from before a restart, or of no earlier call.
        """
        ready, block = int(self._board.processed[0]), self._facts.block_size
        start = max(number, ready - self._kept) if 0 <= number <= ready else ready
        before = np.empty(((ready - start) * block, self._facts.channels), np.float32)
        after = np.empty_like(before)
        self._heard.copy_span(start * block - self._delay, before)
        self._made.copy_span(start * block, after)
        for missing in (item for item in range(start, ready) if not self._made.holds(item)):
            place = slice((missing - start) * block, (missing - start + 1) * block)
            after[place] = before[place]
        return ready, before, after

    def record(self, folder: Path, seconds: float, stopped: Callable[[], bool] = lambda: False) -> Recording:
        """Write the next seconds before and after processing to two files in a folder.

        Raises
        ------
        AudioFileError
            If they cannot be written.
        """
        from rtae.audio import AudioWriter

        rate, block = self._facts.latency.sample_rate, self._facts.block_size
        late = int(self._board.late[0])
        before, after = self._collect(math.ceil(seconds * rate / block), stopped)
        stamp = time.strftime("%Y%m%d-%H%M%S")
        paths = [folder / f"rtae-{stamp}-{side}.wav" for side in ("before", "after")]
        for path, audio in zip(paths, (before, after), strict=True):
            with AudioWriter(path, sample_rate=rate, channels=audio.shape[1], format="WAV", subtype="PCM_24") as writer:
                writer.write(audio)
        levels = [_levels(audio, rate) for audio in (before, after)]
        return Recording(
            before=paths[0],
            after=paths[1],
            seconds=len(after) / rate,
            level_before_db=levels[0][0],
            level_after_db=levels[1][0],
            quiet_before_db=levels[0][1],
            quiet_after_db=levels[1][1],
            late=int(self._board.late[0]) - late,
        )

    def _collect(self, blocks: int, stopped: Callable[[], bool]) -> tuple[Audio, Audio]:
        following = int(self._board.processed[0])
        end = following + blocks
        heard = [np.zeros((0, self._facts.channels), np.float32)]
        made = [heard[0]]
        while following < end and not stopped():
            ready, before, after = self.since(following)
            if ready < following:  # the engine was restarted
                break
            heard.append(before)
            made.append(after)
            following = ready
            time.sleep(_POLL_S)
        length = blocks * self._facts.block_size
        return np.concatenate(heard)[:length], np.concatenate(made)[:length]

    def _bands(self, audio: Audio) -> tuple[float, ...]:
        power = (np.abs(np.fft.rfft(audio * self._window, axis=0)) ** 2).mean(axis=1)
        power *= 2.0 / float((self._window**2).sum()) / len(self._window)
        return tuple(
            # Every band has a bin, however narrow it is.
            decibels(float(power[start : max(stop, start + 1)].sum()))
            for start, stop in zip(self._starts[:-1], self._starts[1:], strict=True)
        )


class Recorder:
    """Records in a thread of its own, so that the view stays alive; one recording at a time.

    Parameters
    ----------
    tap : Tap
        Where from.
    folder : Path
        Where to.
    seconds : float, default 10
        How long.
    """

    def __init__(self, tap: Tap, folder: Path, seconds: float = 10.0) -> None:
        self._tap, self._folder, self._seconds = tap, folder, seconds
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._outcome = ""

    @property
    def busy(self) -> bool:
        """Whether a recording is under way."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Begin, unless one is under way."""
        if not self.busy:
            self._stop.clear()
            self._thread = threading.Thread(target=self._run, name="rtae-recorder", daemon=True)
            self._thread.start()

    def outcome(self) -> str:
        """Return what became of the last recording, once."""
        told, self._outcome = self._outcome, ""
        return told

    def close(self) -> None:
        """End a recording early; what was recorded is written."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        from rtae.errors import RtaeError

        try:
            self._outcome = str(self._tap.record(self._folder, self._seconds, self._stop.is_set))
        except RtaeError as error:
            self._outcome = f"not recorded: {error}"


def _levels(audio: Audio, rate: int) -> tuple[float, float]:
    """Return the level over all and that of the quietest tenth of 50 ms frames."""
    size = rate // 20
    frames: npt.NDArray[np.float32] = audio[: len(audio) // size * size].reshape(-1, size * audio.shape[1])
    if not len(frames):
        return decibels(0.0), decibels(0.0)
    powers = np.sort((frames.astype(np.float64) ** 2).mean(axis=1))
    return decibels(float(powers.mean())), decibels(float(powers[: max(1, len(powers) // 10)].mean()))
