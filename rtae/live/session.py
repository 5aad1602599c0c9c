"""One live stream inside this process: processor, backend and engine tied together, and watched."""

from __future__ import annotations

import dataclasses
import math
import time

import numpy as np

from rtae.errors import DeviceError
from rtae.live.backend import Backend, StreamRequest
from rtae.live.board import Board
from rtae.live.config import StreamConfig, StreamFacts, hop_samples, make_processors, model_delay, processor_name
from rtae.live.engine import Engine, Plan
from rtae.live.plan import headroom_blocks
from rtae.live.report import Event, Latency, Watcher
from rtae.live.tagged import TaggedRing

WARM_UP_BLOCKS = 32
"""Blocks of silence processed before the first real one: a model's first runs take many times as long."""

RETRY_S = 1.0
"""How often a device that is gone is looked for, in seconds."""


class Session:
    """A processor, a backend and an engine.

    Parameters
    ----------
    config : StreamConfig
        What to open.
    backend : Backend
        Where from and to.
    board : Board
        Parameters, counters and meters.
    memory : writable buffer, optional
        Where the rings of audio live; new memory if left out.

    Attributes
    ----------
    facts : StreamFacts
        What was opened.
    engine : Engine
        The engine.

    Raises
    ------
    RtaeError
        As :class:`rtae.live.LiveStream` says.
    """

    def __init__(self, config: StreamConfig, backend: Backend, board: Board, memory: memoryview | None = None) -> None:
        processors, block = make_processors(config, backend.native_rate(config.input, config.output))
        processor = processors[0]
        delay = max(item.delay for item in processors)
        rate = processor.sample_rate
        self._request = request = StreamRequest(
            sample_rate=rate,
            block=block,
            channels=processor.channels,
            input=config.input,
            output=config.output,
            low_latency=config.latency != "safe",
            burst=config.burst,
        )
        opened = backend.open(request)
        try:
            fixed = opened.input_latency + delay + opened.output_latency
            headroom = headroom_blocks(block, rate, config.latency, fixed, opened.burst)
            plan = Plan(
                sample_rate=rate,
                block=block,
                input_channels=opened.input_channels,
                channels=processor.channels,
                output_channels=opened.output_channels,
                headroom_blocks=headroom,
                hop=hop_samples(processor) or block,
            )
            self.engine = Engine(processors, plan, board, memory)
            silence = np.zeros((block, processor.channels), np.float32)
            for item in processors:
                for _ in range(WARM_UP_BLOCKS):
                    item.process(silence)
        except BaseException:
            backend.close()
            raise
        model = model_delay(processor)
        self.facts = StreamFacts(
            latency=Latency(rate, opened.input_latency, model, delay - model, headroom * block, opened.output_latency),
            block_size=block,
            channels=processor.channels,
            slots=self.engine.heard.slots,
            burst=opened.burst,
            input_name=opened.input_name,
            output_name=opened.output_name,
            names=tuple(processor_name(item) for item in processors),
            limitable=hasattr(processor, "attenuation_limit_db"),
            limit_db=getattr(processor, "attenuation_limit_db", None),
            modes=getattr(processor, "modes", ()),
            mode_index=getattr(processor, "mode_index", 0),
        )
        self._board = board
        self._backend = backend
        self._watcher = Watcher(board, self.facts.names)
        self._channels = (opened.input_channels, opened.output_channels)
        self._running = False
        self._away = False
        self._tried_s = self._called_s = 0.0
        self._blocks = 0

    @property
    def rings(self) -> tuple[TaggedRing, TaggedRing]:
        """Rings of input and output blocks."""
        return self.engine.heard, self.engine.made

    @property
    def ended(self) -> bool:
        """Whether no more callbacks come."""
        return bool(self.engine.ended)

    def start(self) -> None:
        """Start from a fresh state.

        Raises
        ------
        DeviceError
            If the sound system refuses to start.
        """
        self._watcher = Watcher(self._board, self.facts.names)
        self.engine.start()
        try:
            self._backend.start(self.engine)
        except BaseException:
            self.engine.stop()
            raise
        self._away = False
        self._called_s = time.monotonic()
        self._running = True

    def stop(self) -> None:
        """Stop the devices and the worker."""
        self._running = False
        self._backend.stop()
        self.engine.stop()

    def close(self) -> None:
        """Release the devices."""
        self._backend.close()

    def poll(self) -> list[Event]:
        """Return the events since the last call, and look after the device; to be called about ten times a second."""
        drift = self._backend.drift_ppm
        self._board.drift_ppm[0] = math.nan if drift is None else drift
        events = self._watcher.poll(self.engine.failure, self.engine.ended)
        if self._running and not self.engine.ended:
            events += self._look_after(time.monotonic())
        return events

    def _look_after(self, now: float) -> list[Event]:
        """Notice that the device is gone, and take it back once it is there again."""
        if self._away:
            if now - self._tried_s < RETRY_S:
                return []
            self._tried_s = now
            try:
                self._take_back()
            except DeviceError:
                return []
            self._away = False
            self._called_s = now
            return [Event("back", f"{self.facts.input_name} -> {self.facts.output_name} is back")]
        blocks = int(self._board.blocks[0])
        if blocks != self._blocks:
            self._blocks, self._called_s = blocks, now
        patience = self._backend.silence_s
        reason = self.engine.gone
        if not reason and patience is not None and now - self._called_s > patience:
            reason = f"the sound device is silent for {patience:g} s"
        if not reason:
            return []
        self._away = True
        self._tried_s = now - RETRY_S  # it may only have to be opened anew: try at once
        self._backend.stop()
        return [Event("lost", f"{reason}; waiting for it to come back")]

    def _take_back(self) -> None:
        opened = self._backend.reopen(dataclasses.replace(self._request, burst=self.facts.burst))
        if (opened.input_channels, opened.output_channels) != self._channels:
            raise DeviceError("the device came back with other channels")
        latency = dataclasses.replace(
            self.facts.latency, input_device=opened.input_latency, output_device=opened.output_latency
        )
        self.facts = dataclasses.replace(
            self.facts, latency=latency, input_name=opened.input_name, output_name=opened.output_name
        )
        self.engine.gone = ""
        self._backend.start(self.engine)
