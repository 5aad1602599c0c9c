"""Speech over a few kilobits a second, as a stream: :class:`Codec`."""

from __future__ import annotations

import os
from collections.abc import Iterable
from fractions import Fraction
from math import ceil

from numpy.typing import ArrayLike

from rtae.base import Frames, as_frames, check_integer
from rtae.codec.decoder import DecoderStatistics, StreamDecoder
from rtae.codec.encoder import StreamEncoder, in_full_scale
from rtae.codec.latents import latents_of
from rtae.codec.models import find_models, load_models, stages_of
from rtae.codec.packet import MOST_CHANNELS, MOST_HOPS, Packet, PacketFormat
from rtae.model import Model
from rtae.resample import shortest_delay
from rtae.spec import ModelSpec

RATE_RANGE_HZ = (1_000, 768_000)
"""Lowest and highest sample rate at the edges."""

DEFAULT_KBPS = 6.0
"""Bit rate where none is asked for, if the codec reaches it."""


class Codec:
    """Encodes a stream of audio into packets, and decodes packets into audio.

    Both directions are independent: a sender uses :meth:`encode` and :meth:`flush`, a receiver :meth:`decode` and
    :meth:`conceal`. One thread at a time may use each direction; two threads may use one direction each. ``kbps`` may
    be set by any thread.

    The decoded signal lags the encoded one by ``delay`` samples, so that for all packets of a stream
    ``concatenate([decode(p) for p in packets])[delay : delay + n]`` is aligned with the ``n`` samples encoded.
    At the codec's own rate every packet decodes to exactly ``hops * hop`` samples; at another rate, to its rounded-up
    share of them.

    Parameters
    ----------
    model : str or path-like, optional
        Name of a shipped codec, or path of its two files without ``-encoder.onnx``; of another encoder, its own name.
    sample_rate : int, optional
        Hertz at the edges; the codec's own by default. Another is converted on the way in and out.
    channels : int, optional
        Channels, 1 to 8. Each is coded on its own.
    kbps : float, optional
        Kilobits a second and channel, without the packets' headers: the next lower rate the codec has is taken. By
        default 6, or the nearest it has.
    hops_per_packet : int, optional
        Hops of every packet but the last, 1 to 255. May be set later, as ``kbps``.

    Raises
    ------
    ModelNotFoundError, ModelFormatError
        If the models cannot be used or do not belong together.
    ParameterError
        If a parameter is out of range.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] = "codec",
        *,
        sample_rate: int | None = None,
        channels: int = 1,
        kbps: float | None = None,
        hops_per_packet: int = 1,
    ) -> None:
        channels = check_integer("channels", channels, 1, MOST_CHANNELS)
        if sample_rate is not None:
            sample_rate = check_integer("sample_rate", sample_rate, *RATE_RANGE_HZ)
        self._models = load_models(model, channels)
        self._path = find_models(model)[0]
        spec = self._models.spec
        self._rate = rate = spec.sample_rate if sample_rate is None else sample_rate
        self._channels = channels
        if kbps is None:
            step = self._models.stage_kbps
            kbps = min(max(DEFAULT_KBPS, step), step * spec.codebooks)
        self._format = PacketFormat(channels, spec.codebooks, spec.codebook_bits)
        self._encoder = StreamEncoder(self._models, rate, channels)
        self.kbps = kbps
        self.hops_per_packet = hops_per_packet
        inner = self.lead * Fraction(rate, spec.sample_rate)
        outer = Fraction(0) if rate == spec.sample_rate else shortest_delay(spec.sample_rate, rate)
        self._delay = ceil(inner + outer)
        self._decoder = StreamDecoder(self._models, self._format, rate, self._delay - inner)

    @property
    def sample_rate(self) -> int:
        """Hertz at the edges."""
        return self._rate

    @property
    def channels(self) -> int:
        """Channels at the edges."""
        return self._channels

    @property
    def delay(self) -> int:
        """Samples between the signal encoded and the signal decoded, at ``sample_rate``; exact."""
        return self._delay

    @property
    def lead(self) -> int:
        """Part of the delay that is in the codes: up to the decoder's output, in samples at the codec's rate."""
        return self._encoder.resampling_delay + self._models.delay

    @property
    def spec(self) -> ModelSpec:
        """What the decoder's file says of itself: the codec's ``sample_rate``, ``hop``, ``codebooks``, ..."""
        return self._models.spec

    @property
    def name(self) -> str:
        """Name of the codec."""
        return self._models.name

    @property
    def identity(self) -> str:
        """SHA-256 of the decoder's file in hexadecimal digits: what a stream needs to be decoded."""
        return self._models.identity

    @property
    def packet_format(self) -> PacketFormat:
        """Shape of the stream's packets."""
        return self._format

    @property
    def kbps(self) -> float:
        """Kilobits a second and channel that are sent; set it to any rate the codec has, or one between.

        Holds from the next packet on. The decoder needs no word of it, and the change makes no click.
        """
        return self._encoder.stages * self._models.stage_kbps

    @kbps.setter
    def kbps(self, value: float) -> None:
        self._encoder.stages = stages_of(value, self._models)

    @property
    def hops_per_packet(self) -> int:
        """Hops of every packet from the next on; fewer at the end."""
        return self._encoder.hops_per_packet

    @hops_per_packet.setter
    def hops_per_packet(self, value: int) -> None:
        self._encoder.hops_per_packet = check_integer("hops_per_packet", value, 1, MOST_HOPS)

    @property
    def statistics(self) -> DecoderStatistics:
        """What became of the hops decoded since the start or :meth:`reset`."""
        return self._decoder.statistics

    @property
    def expected(self) -> int | None:
        """Sequence number of the next hop to decode; None before the first packet."""
        return self._decoder.expected

    def encode(self, block: ArrayLike) -> list[Packet]:
        """Encode the next block.

        Parameters
        ----------
        block : array_like, shape (n, channels)
            Float samples, any n; one channel may also come as (n,). What is beyond full scale is clipped, what is not a
            number counts as silence.

        Returns
        -------
        list of Packet
            The packets that are full now. ``bytes(packet)`` is what to send.

        Raises
        ------
        ParameterError
            If the shape or the type does not fit.
        StreamStateError
            After :meth:`flush`.
        """
        return self._encoder.encode(block)

    def flush(self) -> list[Packet]:
        """End the stream encoded: return the packets without which its last samples could not be decoded.

        Raises
        ------
        StreamStateError
            If the stream is at its end already.
        """
        return self._encoder.flush(self._delay)

    def parse(self, data: bytes) -> Packet:
        """Return the packet that was sent as ``data``.

        Raises
        ------
        BitstreamError
            If it is none of this codec with this number of channels.
        """
        return self._format.parse(data)

    def decode(self, packets: Iterable[Packet]) -> Frames:
        """Decode packets as they come.

        Those given at once are put in order. Hops missing before one are concealed, as by :meth:`conceal`; hops that
        were decoded or concealed already are dropped. A packet more than a second ahead or behind starts anew with its
        own number, with nothing made up in between.

        Parameters
        ----------
        packets : iterable of Packet
            Any number, also none.

        Returns
        -------
        ndarray, shape (n, channels)
            Float32 audio within full scale of all hops up to the newest.

        Raises
        ------
        ParameterError
            If a packet has another shape than this codec's; nothing is decoded then.
        """
        return self._decoder.decode(packets)

    def conceal(self, hops: int = 1, upcoming: Packet | None = None) -> Frames:
        """Make up the next hops, because their packets are missing now and will be late if they ever come.

        Parameters
        ----------
        hops : int, optional
            How many.
        upcoming : Packet, optional
            The first packet behind the gap, if it is there already: the end of the gap then sounds like it. It is not
            decoded by this; give it to :meth:`decode` in its turn.

        Returns
        -------
        ndarray, shape (n, channels)
            Audio as :meth:`decode` gives it; silence before the first packet.

        Raises
        ------
        ParameterError
            If hops is negative, or the packet has another shape than this codec's.
        """
        return self._decoder.conceal(hops, upcoming)

    def latents(self, audio: ArrayLike) -> Frames:
        """Return what the encoder makes of a whole recording before it quantises it, as features of it.

        Has nothing to do with the streams: neither disturbs the other.

        Parameters
        ----------
        audio : array_like, shape (n, channels)
            As of :meth:`encode`, all of it.

        Returns
        -------
        ndarray of float32, shape (hops, channels, latent_size)
            Row ``i`` is of the samples up to ``(i + 1) * hop`` at the codec's rate; silence fills up the last hop.

        Raises
        ------
        ParameterError
            If the shape or the type does not fit, or the encoder gives no latents.
        """
        frames, _ = as_frames(audio, self._channels)
        return latents_of(Model(self._path, streams=self._channels), in_full_scale(frames), self._rate)

    def reset(self) -> None:
        """Go back to the fresh state in both directions; ``kbps`` stays as it is."""
        self._encoder.reset()
        self._decoder.reset()
