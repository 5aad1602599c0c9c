"""The codec: speech as a stream of packets of a few kilobits a second, and back."""

from rtae.codec.codec import Codec
from rtae.codec.decoder import DecoderStatistics
from rtae.codec.packet import Packet, PacketFormat

__all__ = ["Codec", "DecoderStatistics", "Packet", "PacketFormat"]
