"""Headers, payloads and control packets, byte by byte."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtae.codec.packet import Packet, PacketFormat
from rtae.errors import BitstreamError
from rtae.net.rtp import Payload, RtpPacket, goodbye, is_rtcp, leaving

PAYLOAD = Payload.of("0123456789abcdef", PacketFormat(1, 9, 10))
SENT = RtpPacket(97, 0xFFFE, 0x01020304, 0xDEADBEEF, b"voice", marker=True)


def test_the_header_is_that_of_rfc_3550():
    assert bytes(SENT) == bytes.fromhex("80e1fffe01020304deadbeef") + b"voice"
    assert RtpPacket.parse(bytes(SENT)) == SENT


def test_contributing_sources_extension_and_padding_are_skipped():
    header = bytearray(bytes(SENT)[:12])
    header[0] |= 0x20 | 0x10 | 0x02
    extension = bytes.fromhex("bede0002") + bytes(8)
    data = bytes(header) + bytes(8) + extension + b"voice" + bytes.fromhex("000003")
    assert RtpPacket.parse(data) == SENT


@pytest.mark.parametrize(
    "data, reason",
    [
        (b"", "datagram of 0 bytes"),
        (bytes(SENT)[:11], "datagram of 11 bytes"),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "RTP version 1"),
        (b"\x8f" + bytes(SENT)[1:], "shorter than its header"),
        (b"\x90" + bytes(SENT)[1:12] + b"\x00", "inside its extension"),
        (b"\x90" + bytes(SENT)[1:12] + b"\x00\x00\x00\x09", "shorter than its header"),
        (b"\xa0" + bytes(SENT)[1:12] + b"\xff", "shorter than its header"),
        (b"\xa0" + bytes(SENT)[1:12] + b"a\x00", "padding of no length"),
    ],
)
def test_what_is_no_packet_is_refused(data, reason):
    with pytest.raises(BitstreamError, match=reason):
        RtpPacket.parse(data)


@given(st.binary(max_size=80))
def test_no_bytes_raise_anything_else(data):
    try:
        packet = RtpPacket.parse(data)
        assert len(packet.payload) <= len(data) - 12
    except BitstreamError:
        pass
    if is_rtcp(data):
        assert len(leaving(data)) <= 31


def test_the_payload_carries_a_packet_of_its_model_alone():
    packet = Packet(65535, np.arange(18, dtype=np.int64).reshape(2, 1, 9), 10)
    payload = PAYLOAD.pack(packet)
    assert payload[:5] == bytes.fromhex("0201234567") and payload[5:] == bytes(packet)
    assert PAYLOAD.fits(payload)
    (parsed,) = PAYLOAD.parse(payload)
    assert parsed.sequence == 65535 and parsed.codes.size and np.array_equal(parsed.codes, packet.codes)
    for foreign in (
        b"",
        payload[:4],
        b"\x01" + payload[1:],
        Payload.of("0123456689abcdef", PAYLOAD.packets).pack(packet),
    ):
        assert not PAYLOAD.fits(foreign)
    for damaged in (payload[:5], payload[:-1], payload + b"\0"):
        with pytest.raises(BitstreamError):
            PAYLOAD.parse(damaged)


def test_the_payload_repeats_an_earlier_packet_in_fewer_stages():
    codes = np.arange(18, dtype=np.int64).reshape(2, 1, 9)
    payload = PAYLOAD.pack(Packet(1, codes + 100, 10), Packet(65535, codes[:, :, :5], 10))
    now, before = PAYLOAD.parse(payload)
    assert (now.sequence, before.sequence) == (1, 65535)
    assert np.array_equal(now.codes, codes + 100) and np.array_equal(before.codes, codes[:, :, :5])
    for end in range(5 + 27 + 1, len(payload)):
        with pytest.raises(BitstreamError):
            PAYLOAD.parse(payload[:end])


def test_goodbye_names_its_stream():
    assert goodbye(0xDEADBEEF) == bytes.fromhex("81cb0001deadbeef")
    assert is_rtcp(goodbye(1)) and not is_rtcp(bytes(SENT))
    assert leaving(goodbye(7)) == (7,)
    assert leaving(bytes.fromhex("82cb0001deadbeef")) == ()
    assert leaving(bytes.fromhex("81c80001deadbeef")) == ()


def test_random_garbage_hardly_ever_fits():
    rng = random.Random(5)
    fits = 0
    for _ in range(20_000):
        try:
            fits += PAYLOAD.fits(RtpPacket.parse(rng.randbytes(40)).payload)
        except BitstreamError:
            continue
    assert not fits
