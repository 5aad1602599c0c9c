"""Backends without hardware: one that a test steps, one that a file drives.

Both are public, as doubles for the tests of programs that embed a live stream.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from rtae.errors import DeviceError, ParameterError, StreamStateError
from rtae.live.backend import Audio, BlockHandler, OpenedStream, StreamRequest

_PATIENCE_S = 30.0


class FakeBackend:
    """A sound device whose every block is stepped by hand.

    Parameters
    ----------
    sample_rate : int, default 48000
        The rate it calls its own, in hertz.
    input_channels, output_channels : int, optional
        Channels of its two sides; those of the stream if left out.
    input_latency, output_latency : int, default 0
        Latencies it reports, in samples.
    burst : int, default 1
        Blocks it says it hands over at once.
    """

    def __init__(
        self,
        sample_rate: int = 48_000,
        *,
        input_channels: int | None = None,
        output_channels: int | None = None,
        input_latency: int = 0,
        output_latency: int = 0,
        burst: int = 1,
    ) -> None:
        self._sample_rate = sample_rate
        self._burst = burst
        self._channels = (input_channels, output_channels)
        self._latencies = (input_latency, output_latency)
        self._handler: BlockHandler | None = None
        self._plugged = True
        self.opened: OpenedStream | None = None
        self.block: int = 0

    drift_ppm = None
    silence_s = None

    def native_rate(self, input: int | str | None, output: int | str | None) -> int:
        """Return the rate given at construction."""
        return self._sample_rate

    def open(self, request: StreamRequest) -> OpenedStream:
        """Accept any request while plugged in.

        Raises
        ------
        DeviceError
            While unplugged.
        """
        if not self._plugged:
            raise DeviceError("the fake device is not plugged in; call plug()")
        self.block = request.block
        self.opened = OpenedStream(
            self._channels[0] or request.channels,
            self._channels[1] or request.channels,
            *self._latencies,
            "fake",
            "fake",
            self._burst,
        )
        return self.opened

    def start(self, handler: BlockHandler) -> None:
        """Take the handler that :meth:`step` calls."""
        self._handler = handler

    def stop(self) -> None:
        """Forget the handler."""
        self._handler = None

    def close(self) -> None:
        """Forget the handler."""
        self._handler = None

    def step(self, block: Audio | None = None, *, wait: bool = True, xruns: int = 0) -> Audio:
        """Run one callback and return what it played.

        Parameters
        ----------
        block : ndarray, shape (block, input channels), optional
            What the microphone hears; silence if left out.
        wait : bool, default True
            Wait until the worker has processed it, so that nothing is ever late.
        xruns : int, default 0
            Under- and overflows to report.

        Returns
        -------
        ndarray, shape (block, output channels)

        Raises
        ------
        StreamStateError
            If the stream is not started, or the worker did not finish within 30 s.
        """
        if self._handler is None or self.opened is None:
            raise StreamStateError("fake device stepped while its stream is stopped; start the stream first")
        indata = np.zeros((self.block, self.opened.input_channels), np.float32) if block is None else block
        outdata = np.full((self.block, self.opened.output_channels), np.nan, np.float32)
        self._handler.callback(indata, outdata, xruns)
        if wait and not self._handler.wait_idle(_PATIENCE_S):
            raise StreamStateError(f"the worker did not finish a block within {_PATIENCE_S:g} s")
        return outdata

    def unplug(self) -> None:
        """Let the device vanish."""
        self._plugged = False
        if self._handler is not None:
            self._handler.lost("the fake device was unplugged")

    def plug(self) -> None:
        """Let it come back."""
        self._plugged = True

    def reopen(self, request: StreamRequest) -> OpenedStream:
        """Open again."""
        return self.open(request)


class FileBackend:
    """A clock that plays an array, or blocks read from a file, through a live stream.

    Parameters
    ----------
    source : ndarray of shape (samples, channels) or (samples,), or iterable of such blocks
        What the microphone hears. Pieces may have any length. Silence of the stream's latency follows it, so that the
        delayed end comes out too.
    sample_rate : int
        Rate of `source`, in hertz.
    realtime : bool, default True
        Step at the rate of the audio. Otherwise as fast as the worker can: the clock then waits for it, no block is
        ever late, and the result is deterministic.
    sink : callable, optional
        Called with each block played, which it must copy to keep. :attr:`output` then stays empty, so that memory does
        not grow with the length of the source.

    Attributes
    ----------
    channels : int
        Channels of the source, found from its first piece.
    """

    def __init__(
        self,
        source: Audio | Iterable[Audio],
        sample_rate: int,
        *,
        realtime: bool = True,
        sink: Callable[[Audio], None] | None = None,
    ) -> None:
        pieces = iter([source] if isinstance(source, np.ndarray) else source)
        first = next(pieces, None)
        if first is None:
            raise ParameterError("file clock: the source holds no audio")
        self.channels: int = 1 if first.ndim == 1 else int(first.shape[1])
        self._pieces = self._chain(first, pieces)
        self._sample_rate = sample_rate
        self._realtime = realtime
        self._played: list[Audio] = []
        self._sink = sink if sink is not None else self._keep
        self._request: StreamRequest | None = None
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()

    drift_ppm = None
    silence_s = None

    def native_rate(self, input: int | str | None, output: int | str | None) -> int:
        """Return the rate of the source."""
        return self._sample_rate

    def open(self, request: StreamRequest) -> OpenedStream:
        """Accept a request at the rate of the source.

        Raises
        ------
        ParameterError
            If the rate differs.
        """
        if request.sample_rate != self._sample_rate:
            raise ParameterError(
                f"file clock runs at {self._sample_rate} Hz, the stream asked for {request.sample_rate}"
            )
        self._request = request
        return OpenedStream(self.channels, request.channels, 0, 0, "file", "file")

    def reopen(self, request: StreamRequest) -> OpenedStream:
        """Open again."""
        return self.open(request)

    def start(self, handler: BlockHandler) -> None:
        """Start the clock in a thread of its own."""
        if self._request is None:
            raise StreamStateError("file clock started before it was opened")
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, args=(handler, self._request), name="rtae-clock", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop the clock."""
        self._stop.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()
            self._thread = None

    def close(self) -> None:
        """Stop the clock."""
        self.stop()

    @property
    def output(self) -> Audio:
        """What was played so far, shape ``(samples, channels)``; lags the source by the stream's engine latency."""
        return np.concatenate(self._played) if self._played else np.zeros((0, self.channels), np.float32)

    def _chain(self, first: Audio, rest: Iterator[Audio]) -> Iterator[Audio]:
        yield first.reshape(-1, self.channels)
        for piece in rest:
            yield piece.reshape(-1, self.channels)

    def _keep(self, block: Audio) -> None:
        self._played.append(block.copy())

    def _blocks(self, size: int, tail: int) -> Iterator[Audio]:
        """Cut the source and `tail` zeros after it into blocks; the last is filled up with zeros."""
        block, fill = np.zeros((size, self.channels), np.float32), 0
        pieces = self._pieces
        while True:
            piece = next(pieces, None)
            if piece is None:
                if not tail:
                    break
                piece, tail = np.zeros((tail, self.channels), np.float32), 0
            while len(piece):
                count = min(size - fill, len(piece))
                block[fill : fill + count] = piece[:count]
                piece, fill = piece[count:], fill + count
                if fill == size:
                    yield block
                    fill = 0
        if fill:
            block[fill:] = 0.0
            yield block

    def _run(self, handler: BlockHandler, request: StreamRequest) -> None:
        period = request.block / request.sample_rate
        due = time.perf_counter()
        xruns = 0
        reason = "the file is at its end"
        outdata = np.empty((request.block, request.channels), np.float32)
        for block in self._blocks(request.block, handler.latency_samples):
            if self._realtime:
                due += period
                wait = due - time.perf_counter()
                # A device holds two blocks; when this thread is behind by more, a real one would have lost audio.
                if wait < -2.0 * period:
                    due, xruns = time.perf_counter(), 1
                if self._stop.wait(max(wait, 0.0)):
                    return
            elif self._stop.is_set():
                return
            handler.callback(block, outdata, xruns)
            xruns = 0
            self._sink(outdata)
            if not self._realtime and not handler.wait_idle(_PATIENCE_S):
                reason = f"the worker did not finish a block within {_PATIENCE_S:g} s"
                break
        handler.finished(reason)
