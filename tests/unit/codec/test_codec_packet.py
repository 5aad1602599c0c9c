"""Packets: to bytes and back, and what is refused."""

import numpy as np
import pytest

from rtae.codec import Packet, PacketFormat
from rtae.codec.packet import distance
from rtae.errors import BitstreamError, ParameterError

SEED = 5


def random_packet(form, hops, stages, sequence=0, seed=SEED):
    codes = np.random.default_rng(seed).integers(0, 1 << form.bits, (hops, form.channels, stages))
    return Packet(sequence, codes, form.bits)


@pytest.mark.parametrize("bits", range(1, 17))
@pytest.mark.parametrize(("channels", "hops", "stages"), [(1, 1, 1), (1, 2, 9), (2, 3, 5), (8, 255, 64)])
def test_bytes_and_back(bits, channels, hops, stages):
    form = PacketFormat(channels, 64, bits)
    packet = random_packet(form, hops, stages, sequence=65_535)
    data = bytes(packet)
    assert len(data) == form.size(hops, stages) == 4 + -(-hops * channels * stages * bits // 8)
    again = form.parse(data)
    assert (again.sequence, again.hops, again.stages, again.bits) == (65_535, hops, stages, bits)
    assert packet.codes.size == hops * channels * stages
    assert again.codes.dtype == np.int64
    assert np.array_equal(again.codes, packet.codes)


def test_bytes_are_those_of_the_specification():
    packet = Packet(0x1234, np.array([[[0b1000000001, 0b0000000011]]]), 10)
    assert bytes(packet).hex(" ") == "12 34 01 02 80 40 30"
    # Two hops of two channels of one stage of 4 bits: hop by hop, channel by channel.
    assert bytes(Packet(7, np.array([[[1], [2]], [[3], [4]]]), 4)).hex(" ") == "00 07 02 01 12 34"


FORM = PacketFormat(1, 9, 10)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "packet of 0 bytes; its header alone has 4"),
        (b"\0\0\1", "packet of 3 bytes"),
        (b"\0\0\0\1", "0 hops"),
        (b"\0\0\1\0", "0 stages"),
        (b"\0\0\1\x0a" + bytes(13), "10 stages; allowed are 1 to 255 hops and 1 to 9 stages"),
        (b"\0\0\1\1\0", "take 6"),
        (b"\0\0\1\1\0\0\0", "packet of 7 bytes; 1 hops of 1 stages and 1 channels take 6"),
        (b"\0\0\1\1\0\1", "padding"),
    ],
)
def test_what_is_no_packet_is_refused(data, words):
    with pytest.raises(BitstreamError, match=words):
        FORM.parse(data)


def test_every_flip_and_truncation_of_a_packet_is_an_error_or_a_packet_of_that_size():
    data = bytes(random_packet(FORM, 3, 4))
    outcomes = {"packet": 0, "error": 0}
    cases = [data[:length] for length in range(len(data))]
    for bit in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        cases.append(bytes(flipped))
    for case in cases:
        try:
            packet = FORM.parse(case)
        except BitstreamError:
            outcomes["error"] += 1
            continue
        outcomes["packet"] += 1
        assert bytes(packet) == case
        assert packet.codes.min() >= 0 and packet.codes.max() < 1024
    assert min(outcomes.values()) > 20


@pytest.mark.parametrize("values", [(0, 9, 10), (9, 9, 10), (1, 0, 10), (1, 65, 10), (1, 9, 0), (1, 9, 17)])
def test_format_out_of_range(values):
    with pytest.raises(ParameterError):
        PacketFormat(*values)


@pytest.mark.parametrize(
    ("later", "earlier", "hops"),
    [(5, 3, 2), (3, 5, -2), (1, 65_535, 2), (65_535, 1, -2), (0, 32_768, -32_768), (32_767, 0, 32_767)],
)
def test_distance_wraps(later, earlier, hops):
    assert distance(later, earlier) == hops
