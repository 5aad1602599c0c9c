"""Streams: lengths, damage, hostile headers, wrong models. The codec is 16-bit PCM, so every sample can be told."""

import io
import struct
import zlib

import numpy as np
import pytest

from rtae.codec import Codec, Packet
from rtae.codec.container import StreamReader
from rtae.codec.files import decode, decode_blocks, encode, encode_blocks, open_decoder, open_encoder
from rtae.codec.header import FIXED, StreamHeader
from rtae.errors import BitstreamError, ModelNotFoundError, ParameterError, RtaeError, TruncatedStreamError

SEED = 31
LSB = 1 / 32767
HEADER = FIXED.size + len("pcm") + 4
KBPS = 128


def noise(samples, channels=1, seed=SEED):
    print("seed", seed)
    return (0.2 * np.random.default_rng(seed).standard_normal((samples, channels))).clip(-1, 1).astype(np.float32)


@pytest.fixture
def model(pair):
    """8 kHz, hops of 5 ms, one hop of delay."""
    return pair(delay=40)


def stream(model, audio, *, hops=4, declared=True, kbps=KBPS, rate=8_000):
    """A stream of short packets."""
    codec = open_encoder(model, rate, audio.shape[1], kbps)
    codec.hops_per_packet = hops
    file = io.BytesIO()
    encode_blocks([audio], codec, file, len(audio) if declared else None)
    return file.getvalue()


def decoded(model, data):
    """Audio, bytes skipped, and the error at the end if the stream ends early."""
    audio, reader, error = decoded_until_cut(open_decoder(StreamReader(io.BytesIO(data)).header, model), data)
    return audio, reader.damaged, error


def decoded_until_cut(codec, data):
    """Audio, reader, and the error at the end if the stream ends early, on a codec that is reset."""
    codec.reset()
    reader = StreamReader(io.BytesIO(data))
    blocks, error = [], None
    try:
        for block in decode_blocks(reader, codec):
            blocks.append(block)
    except TruncatedStreamError as found:
        error = found
    return np.concatenate(blocks), reader, error


@pytest.mark.parametrize("channels", [1, 2, 8])
@pytest.mark.parametrize("samples", [0, 1, 39, 40, 41, 4_321])
def test_a_recording_comes_back_with_its_length(model, channels, samples):
    audio = noise(samples, channels)
    data = encode(audio, 8_000, model=model, kbps=KBPS)
    out, rate = decode(data, model=model)
    assert rate == 8_000 and out.shape == (samples, channels) and out.dtype == np.float32
    assert np.allclose(out, audio, atol=LSB)


@pytest.mark.parametrize("rate", [1_000, 7_999, 11_025, 44_100, 48_000, 192_000, 768_000])
@pytest.mark.parametrize("samples", [0, 1, 2, 1_000, 12_345])
@pytest.mark.parametrize("declared", [True, False])
def test_any_rate_keeps_length_and_place(model, rate, samples, declared):
    time = np.arange(samples)[:, None] / samples if samples else np.zeros((0, 1))
    audio = (np.sin(2 * np.pi * 5 * time) * np.sin(np.pi * time) ** 2 / 2).astype(np.float32)
    out, damaged, error = decoded(model, stream(model, audio, declared=declared, rate=rate))
    assert error is None and not damaged
    assert out.shape == audio.shape
    if samples == 12_345:
        assert np.abs(audio).max() > 0.4
        assert np.abs(out - audio).max() < 0.01


def test_one_dimension_and_the_default_bit_rate(pair):
    model = pair(sample_rate=8_000, hop=40)
    out, _ = decode(encode(noise(800)[:, 0], 8_000, model=model), model=model)
    assert out.shape == (800, 1)
    packets = [packet for _, packet in StreamReader(io.BytesIO(encode(noise(800)[:, 0], 8_000, model=model))).packets()]
    assert packets[0].stages == 1  # 3.2 kbit/s a stage: 6 pays for one


def test_bit_rate_changed_on_the_way(model):
    audio = noise(4_000)
    codec = open_encoder(model, 8_000, 1, KBPS)
    codec.hops_per_packet = 4

    def blocks():
        for number, at in enumerate(range(0, 4_000, 160)):
            codec.kbps = KBPS if number % 2 else 32
            yield audio[at : at + 160]

    file = io.BytesIO()
    encode_blocks(blocks(), codec, file)
    stages = [packet.stages for _, packet in StreamReader(io.BytesIO(file.getvalue())).packets() if packet]
    assert set(stages) == {10, 40}
    assert len(decoded(model, file.getvalue())[0]) == 4_000


@pytest.mark.parametrize("declared", [True, False])
def test_every_prefix_gives_the_audio_of_its_whole_packets(model, declared):
    audio = noise(600, 2)
    data = stream(model, audio, declared=declared, kbps=12.8)
    codec = open_decoder(StreamReader(io.BytesIO(data)).header, model)
    whole, _, _ = decoded_until_cut(codec, data)
    lengths = set()
    for cut in range(len(data)):
        if cut < HEADER:
            with pytest.raises((TruncatedStreamError, BitstreamError)):
                StreamReader(io.BytesIO(data[:cut]))
            continue
        out, _, error = decoded_until_cut(codec, data[:cut])
        assert error is not None and "ends early" in str(error)
        packets = (cut - HEADER) // (4 + 4 * 2 * 4 * 2 + 4)
        assert len(out) == min(max(160 * min(packets, 4) - 40, 0), 600)
        assert np.array_equal(out, whole[: len(out)])
        lengths.add(len(out))
    assert lengths == {0, 120, 280, 440, 600}


def test_every_flipped_bit_is_an_error_or_concealed(model):
    audio = noise(900)
    data = stream(model, audio, kbps=6.4, hops=8)
    codec = open_decoder(StreamReader(io.BytesIO(data)).header, model)
    whole, _, _ = decoded_until_cut(codec, data)
    assert len(whole) == 900
    errors = concealed = 0
    for bit in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        try:
            out, reader, cut = decoded_until_cut(codec, bytes(flipped))
        except BitstreamError as error:
            assert bit < 8 * HEADER and len(str(error)) > 20
            errors += 1
            continue
        assert reader.damaged
        assert bit >= 8 * HEADER
        if cut:  # only where the end record itself is hit
            assert bit >= 8 * (len(data) - 16)
        else:
            assert out.shape == (900, 1)
            # The packet that was hit, the fade back and the decoder's delay; nothing else.
            assert (np.abs(out - whole) > LSB).sum() <= 320 + 80 + 40
            concealed += 1
        assert np.abs(out).max() <= 1.0
    assert errors + concealed == 8 * (len(data) - 16)
    assert errors > 500 and concealed > 500


def test_a_thousand_fuzzed_streams_end_in_an_error_or_in_audio(model):
    rng = np.random.default_rng(SEED)
    print("seed", SEED)
    codec = open_decoder(StreamReader(io.BytesIO(stream(model, noise(1)))).header, model)
    seeds = [stream(model, noise(n, seed=n), hops=h, kbps=k, declared=d)
             for n, h, k, d in ((700, 3, 3.2, True), (700, 9, 12.8, False), (1_300, 2, 6.4, True))]  # fmt: skip
    ends = {"error": 0, "cut": 0, "audio": 0}
    for _ in range(1_000):
        data = bytearray(seeds[rng.integers(3)])
        for _ in range(rng.integers(1, 6)):
            at, kind = rng.integers(len(data) + 1), rng.integers(5)
            # The header is checked as a whole; damage behind it is what there is to explore.
            at = at if rng.random() < 0.1 else max(at, HEADER)
            if kind == 0 and at < len(data):
                data[at] ^= 1 << rng.integers(8)
            elif kind == 1:
                del data[at : at + rng.integers(1, 40)]
            elif kind == 2:
                data[at:at] = rng.bytes(rng.integers(1, 40))
            elif kind == 3:
                data[at:at] = data[at : at + rng.integers(1, 60)]
            elif rng.random() < 0.3:
                del data[at:]
        try:
            out, reader, cut = decoded_until_cut(codec, bytes(data))
        except RtaeError:
            ends["error"] += 1
            continue
        ends["cut" if cut else "audio"] += 1
        assert np.isfinite(out).all() and np.abs(out).max(initial=0) <= 1.0
        assert reader.samples is None or len(out) <= reader.samples
        assert len(out) <= 9 * 40 * (len(data) // 10 + 1)
    print(ends)
    assert min(ends.values()) > 20


def test_a_few_bytes_do_not_make_hours_of_sound(model):
    """Packets with good checksums whose numbers jump, over and over."""
    data = header(samples=40 * 2**32, codec_rate=8_000, hop=40)
    position = 0
    for _ in range(50):
        data += b"?"
        position += 10_000
        packet = bytes(Packet(position % 65_536, np.zeros((1, 1, 1), np.int64), 16))
        data += packet + struct.pack(">I", zlib.crc32(packet))
        position += 1
    reader = StreamReader(io.BytesIO(data))
    with pytest.raises(TruncatedStreamError):
        list(reader.packets())
    assert 10_000 < reader.hops < 12_200 and reader.damaged > 400


def test_damage_is_bridged_whatever_the_packet_lost(model):
    audio = noise(4_000)
    data = bytearray(stream(model, audio, hops=8, kbps=12.8))
    size = 4 + 8 * 4 * 2 + 4
    del data[HEADER + 3 * size + 10 : HEADER + 5 * size - 7]  # the end of one packet, the beginning of the next
    out, damaged, error = decoded(model, bytes(data))
    assert error is None and damaged and out.shape == (4_000, 1)
    whole, _, _ = decoded(model, stream(model, audio, hops=8, kbps=12.8))
    assert np.abs(out[: 3 * 320 - 40] - whole[: 3 * 320 - 40]).max() <= LSB
    assert np.abs(out[5 * 320 + 80 :] - whole[5 * 320 + 80 :]).max() <= LSB


def test_the_last_packets_lost_are_made_up(model):
    audio = noise(4_000)
    data = bytearray(stream(model, audio, hops=8, kbps=12.8))
    del data[-16 - 150 : -16]
    for declared in (True, False):
        data = bytearray(stream(model, audio, hops=8, kbps=12.8, declared=declared))
        data[-16 - 100 : -16] = bytes(100)
        out, damaged, error = decoded(model, bytes(data))
        assert error is None and damaged and out.shape == (4_000, 1)


def test_what_follows_the_end_is_not_read(model):
    file = io.BytesIO(stream(model, noise(100)) + b"something else")
    reader = StreamReader(file)
    assert len(np.concatenate(list(decode_blocks(reader, open_decoder(reader.header, model))))) == 100
    assert not reader.damaged


def header(**changes):
    """A header with valid checksum and any values."""
    fields = {
        "magic": b"\x89RTAE\r\n\x1a", "version": 1, "channels": 1, "codebooks": 40, "bits": 16, "codec_rate": 8_000,
        "hop": 40, "sample_rate": 8_000, "lead": 40, "samples": 100, "hops_per_packet": 4, "name_length": 3,
        "identity": bytes(32), "name": b"pcm",
    } | changes  # fmt: skip
    name = fields.pop("name")
    data = FIXED.pack(*fields.values()) + name
    return data + struct.pack(">I", zlib.crc32(data))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"magic": b"\x89RTAE\n\n\x1a"}, "no rtae stream"),
        ({"version": 2}, "pip install -U rtae"),
        ({"version": 0}, "version 0"),
        ({"channels": 0}, "channels 0"),
        ({"channels": 255}, "channels 255; allowed are 1 to 8"),
        ({"codebooks": 0}, "codebooks 0"),
        ({"bits": 17}, "bits 17"),
        ({"codec_rate": 0}, "codec rate 0"),
        ({"hop": 0}, "hop 0"),
        ({"hop": 2**32 - 1}, "hop 4294967295"),
        ({"sample_rate": 2**32 - 1}, "sample rate 4294967295"),
        ({"lead": 80_001}, "lead 80001"),
        ({"samples": 2**64 - 2}, "samples 18446744073709551614"),
        ({"hops_per_packet": 0}, "hops a packet 0"),
        ({"name": b"", "name_length": 0}, "names no codec"),
        ({"name": b"a\x1b[", "name_length": 3}, "names no codec"),
        ({"name": b"\xff\xff\xff"}, "names no codec"),
    ],
)
def test_headers_out_of_bounds_are_refused(changes, words):
    assert StreamReader(io.BytesIO(header())).header.name == "pcm"
    with pytest.raises(BitstreamError, match=words.replace("(", r"\(")):
        StreamReader(io.BytesIO(header(**changes)))


@pytest.mark.parametrize("data", [b"", b"RIFF" + bytes(200), b"\x89PNG\r\n\x1a\n" + bytes(200)])
def test_what_is_no_stream_is_called_so(data):
    with pytest.raises(BitstreamError, match="no rtae stream"):
        StreamReader(io.BytesIO(data))


def test_a_huge_declared_length_costs_nothing(model):
    """The most samples a header may declare, and no packets."""
    codec = Codec(model)
    form = StreamHeader.of(codec, 4, 40 * 2**32)
    out, reader, error = decoded_until_cut(codec, bytes(form))
    assert reader.samples == 40 * 2**32
    assert error is not None and len(out) == 0


@pytest.mark.parametrize("samples", [99, 101, 10_000])
def test_an_end_that_contradicts_is_refused(model, samples):
    data = bytearray(stream(model, noise(100), declared=True))
    end = data[-16:-12] + struct.pack(">Q", samples)
    data[-16:] = end + struct.pack(">I", zlib.crc32(end))
    with pytest.raises(BitstreamError, match="contradicts itself: 100 samples"):
        decoded(model, bytes(data))


def test_an_end_that_promises_more_than_the_packets_hold_is_refused(model):
    data = bytearray(stream(model, noise(100), declared=False))
    end = data[-16:-12] + struct.pack(">Q", 10_000)
    data[-16:] = end + struct.pack(">I", zlib.crc32(end))
    with pytest.raises(BitstreamError, match="10000 samples declared, packets for 120"):
        decoded(model, bytes(data))


def test_another_codec_is_refused_by_name(pair, model):
    data = stream(model, noise(100))
    identity = Codec(model).identity
    with pytest.raises(BitstreamError) as refusal:
        decode(data, model=pair(delay=13))
    assert "needs codec 'pcm'" in str(refusal.value) and identity[:16] in str(refusal.value)
    with pytest.raises(ModelNotFoundError, match="needs codec 'pcm'"):
        decode(data)


def test_the_name_in_a_stream_is_never_a_path(tmp_path, model):
    data = bytes(StreamHeader(**{**vars(StreamReader(io.BytesIO(stream(model, noise(9)))).header), "name": str(model)}))
    with pytest.raises(ModelNotFoundError, match="does not come with rtae"):
        open_decoder(StreamReader(io.BytesIO(data)).header)


def test_blocks_of_another_length_than_declared_are_an_error(model):
    with pytest.raises(ParameterError, match="5 samples came to be encoded, 6 were declared"):
        encode_blocks([noise(5)], open_encoder(model, 8_000, 1), io.BytesIO(), 6)


@pytest.mark.parametrize("shape", [(), (2, 2, 2)])
def test_what_is_no_audio_is_refused(model, shape):
    with pytest.raises(ParameterError, match="audio must have shape"):
        encode(np.zeros(shape), 8_000, model=model)


def test_memory_does_not_grow_with_the_stream(model):
    """A reader keeps a packet or two, however long the stream."""

    data = stream(model, noise(40_000))
    file = io.BytesIO(data)
    reader = StreamReader(file)
    largest = 0
    for _ in reader.packets():
        largest = max(largest, len(reader._buffer))
    assert 0 < largest <= 2 * (4 + 4 * 40 * 2 + 4)
