"""``Codec``: lengths, alignment, rates, order and loss of packets, on a codec that is 16-bit PCM."""

import itertools
import math
import shutil
import threading

import numpy as np
import pytest

from rtae.codec import Codec, Packet
from rtae.errors import ModelFormatError, ModelNotFoundError, ParameterError, StreamStateError
from tests import models

SEED = 11
LSB = 1 / 32767


def noise(samples, channels=1, seed=SEED):
    print("seed", seed)
    return (0.2 * np.random.default_rng(seed).standard_normal((samples, channels))).clip(-1, 1).astype(np.float32)


def tone(samples, rate, channels=1):
    time = np.arange(samples)[:, None] / rate
    return (0.5 * np.sin(2 * np.pi * time * rate / 40 * (1 + 0.3 * np.arange(channels)))).astype(np.float32)


def lossless(path, **options):
    codec = Codec(path, kbps=128, **options)
    assert codec.kbps == 128
    return codec


def through(codec, audio, sizes=(1000,)):
    """Encode in blocks of the given sizes, decode packet by packet, align."""
    sizes, start, out = itertools.cycle(sizes), 0, []
    while start < len(audio):
        stop = start + next(sizes)
        out += [codec.decode([packet]) for packet in codec.encode(audio[start:stop])]
        start = stop
    out += [codec.decode([packet]) for packet in codec.flush()]
    whole = np.concatenate(out) if out else np.zeros((0, codec.channels), np.float32)
    assert len(whole) >= len(audio) + (codec.delay if len(audio) else 0)
    return whole[codec.delay :][: len(audio)]


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("delay", [0, 40, 13])
@pytest.mark.parametrize("hops_per_packet", [1, 3])
@pytest.mark.parametrize("samples", [0, 1, 39, 40, 41, 1234])
def test_at_its_own_rate_every_sample_comes_back(pair, channels, delay, hops_per_packet, samples):
    codec = lossless(pair(delay=delay), channels=channels, hops_per_packet=hops_per_packet)
    assert codec.delay == codec.lead == delay
    audio = noise(samples, channels)
    out = through(codec, audio, sizes=(1, 7, 40, 100))
    assert out.shape == audio.shape and out.dtype == np.float32
    assert np.allclose(out, audio, atol=LSB)


@pytest.mark.parametrize("rate", [1_000, 7_999, 11_025, 16_000, 44_100, 48_000, 768_000])
@pytest.mark.parametrize("samples", [0, 1, 2345])
def test_at_other_rates_length_and_alignment_hold(pair, rate, samples):
    codec = lossless(pair(delay=40), sample_rate=rate)
    audio = tone(samples, max(rate, 8_000)) if samples else noise(0)
    audio *= np.hanning(samples)[:, None].astype(np.float32) if samples > 1 else 1
    out = through(codec, audio)
    assert out.shape == audio.shape
    if samples > 1 and 7_999 <= rate <= 48_000:
        assert np.abs(audio).max() > 0.4
        assert np.abs(out - audio).max() < 0.02


def test_blocks_do_not_matter(pair):
    audio = noise(3_000, 2)
    reference = None
    for sizes in ((3_000,), (1,), (39, 41), (7, 0, 500)):
        codec = Codec(pair(delay=40), sample_rate=11_025, channels=2, kbps=64, hops_per_packet=2)
        packets = []
        edges = [0, *itertools.takewhile(lambda at: at < 3_000, itertools.accumulate(itertools.cycle(sizes))), 3_000]
        for start, stop in itertools.pairwise(edges):
            packets += codec.encode(audio[start:stop])
        data = [bytes(packet) for packet in [*packets, *codec.flush()]]
        assert len(data) == 29
        reference = reference or data
        assert data == reference


def test_numbers_count_hops_and_wrap(pair):
    codec = Codec(pair(), hops_per_packet=200, kbps=3.2)
    packets = codec.encode(np.zeros(40 * 66_000, np.float32))
    assert len(packets) == 330
    assert [packet.sequence for packet in packets] == [200 * index % 65_536 for index in range(330)]
    assert sum(len(codec.decode([packet])) for packet in packets) == 40 * 66_000
    assert codec.statistics.received == 66_000 and not codec.statistics.concealed


def test_one_dimension_is_one_channel(pair):
    codec = lossless(pair())
    audio = noise(40)
    packets = codec.encode(audio[:, 0].astype(np.float64))
    assert np.allclose(codec.decode(packets), audio, atol=LSB)


def test_bad_samples_do_not_get_in(pair):
    codec = lossless(pair(), sample_rate=11_025)
    audio = np.full(2_000, 0.25)
    audio[[100, 200, 300, 400]] = [np.nan, np.inf, -np.inf, 1e300]
    out = codec.decode(codec.encode(audio))
    assert np.isfinite(out).all() and np.abs(out).max() <= 1.0
    assert np.allclose(out[600:-10], 0.25, atol=0.01)


def test_no_sample_exceeds_full_scale(pair):
    """A square wave at full scale overshoots in any resampler."""
    codec = lossless(pair(), sample_rate=48_000)
    square = np.sign(np.sin(np.arange(20_000) / 30)).astype(np.float32)
    out = codec.decode(codec.encode(square))
    assert len(out) > 10_000
    assert np.abs(out).max() == 1.0


def test_packets_hold_the_stages_that_the_bit_rate_pays_for(pair):
    codec = Codec(pair(), kbps=32)
    assert codec.kbps == 32
    assert {packet.stages for packet in codec.encode(noise(400))} == {10}
    codec.kbps = 33
    assert codec.kbps == 32
    codec.kbps = 35.2
    assert {packet.stages for packet in codec.encode(noise(400))} == {11}
    first, second = codec.encode(noise(80))
    assert np.allclose(codec.decode([first])[:11], noise(80)[:11], atol=LSB)
    codec.reset()
    assert codec.kbps == pytest.approx(35.2)
    assert second.stages == 11


@pytest.mark.parametrize("kbps", [0, 3.1, 128.1, -1, math.nan, math.inf, "many"])
def test_bit_rate_out_of_range(pair, kbps):
    with pytest.raises(ParameterError, match=r"3\.2 to 128 in steps of 3\.2"):
        Codec(pair(), kbps=kbps)
    codec = lossless(pair())
    with pytest.raises(ParameterError):
        codec.kbps = kbps
    assert codec.kbps == 128


def encoded(codec, hops, seed=SEED):
    packets = codec.encode(noise(40 * hops, seed=seed))
    assert len(packets) == hops
    return packets


def test_packets_given_at_once_are_put_in_order(pair):
    codec = lossless(pair())
    packets = encoded(codec, 20)
    shuffled = [packets[index] for index in np.random.default_rng(SEED).permutation(20)]
    shuffled = [packets[0], *(packet for packet in shuffled if packet.sequence)]
    assert np.allclose(codec.decode(shuffled), noise(800), atol=LSB)
    assert codec.statistics.received == 20 and not codec.statistics.late


def test_a_missing_packet_keeps_the_place_of_the_others(pair):
    codec = lossless(pair())
    packets = encoded(codec, 20)
    out = codec.decode(packet for packet in packets if packet.sequence not in (7, 8))
    assert out.shape == (800, 1)
    assert np.allclose(out[:280], noise(800)[:280], atol=LSB)
    assert np.allclose(out[480:], noise(800)[480:], atol=LSB)
    assert (codec.statistics.received, codec.statistics.concealed) == (18, 2)


def test_what_was_made_up_or_played_is_not_played_again(pair):
    codec = lossless(pair())
    packets = encoded(codec, 6)
    codec.decode(packets[:2])
    assert codec.conceal(2).shape == (80, 1)
    assert codec.expected == 4
    assert codec.decode(packets[:4]).shape == (0, 1)
    assert codec.statistics.late == 4
    assert np.allclose(codec.decode(packets[4:]), noise(240)[160:], atol=LSB)


def test_of_a_packet_half_too_late_the_other_half_is_played(pair):
    codec = lossless(pair(), hops_per_packet=4)
    first, second = codec.encode(noise(320))
    codec.decode([first])
    codec.conceal(3)
    assert np.allclose(codec.decode([second]), noise(320)[280:], atol=LSB)
    assert (codec.statistics.received, codec.statistics.late, codec.statistics.concealed) == (5, 3, 3)


@pytest.mark.parametrize("jump", [201, 30_000, -201, -30_000])
def test_a_far_jump_makes_nothing_up(pair, jump):
    codec = lossless(pair())
    packets = encoded(codec, 2)
    codec.decode(packets)
    far = Packet((2 + jump) % 65_536, packets[0].codes, 16)
    assert codec.decode([far]).shape == (40, 1)
    assert codec.statistics.restarts == 1 and codec.statistics.concealed == 0
    assert codec.expected == (3 + jump) % 65_536


def test_a_gap_of_a_second_is_still_made_up(pair):
    codec = lossless(pair())
    packets = encoded(codec, 1)
    codec.decode(packets)
    assert codec.decode([Packet(201, packets[0].codes, 16)]).shape == (40 * 201, 1)
    assert codec.statistics.concealed == 200


def test_before_the_first_packet_there_is_silence(pair):
    codec = lossless(pair())
    out = codec.conceal(10)
    assert out.shape == (400, 1) and not out.any()
    packets = encoded(codec, 3)
    assert np.allclose(codec.decode(packets)[80:], noise(120)[80:], atol=LSB)
    assert codec.expected == 3


@pytest.mark.parametrize("change", ["channels", "bits", "stages", "hops"])
def test_a_packet_of_another_shape_is_refused_before_any_is_decoded(pair, change):
    codec = lossless(pair())
    good = encoded(codec, 1)[0]
    bad = {
        "channels": Packet(1, np.zeros((1, 2, 4), np.int64), 16),
        "bits": Packet(1, good.codes, 10),
        "stages": Packet(1, np.zeros((1, 1, 41), np.int64), 16),
        "hops": Packet(1, good.codes[:0], 16),
    }[change]
    with pytest.raises(ParameterError, match="this codec takes"):
        codec.decode([good, bad])
    assert codec.expected is None


def test_bytes_of_a_packet_are_parsed(pair):
    codec = lossless(pair())
    packets = [codec.parse(bytes(packet)) for packet in encoded(codec, 3)]
    assert np.allclose(codec.decode(packets), noise(120), atol=LSB)


def test_reset_is_fresh(pair):
    codec = lossless(pair(delay=40), sample_rate=11_025)
    first = through(codec, noise(2_000))
    codec.decode([Packet(9, np.zeros((1, 1, 1), np.int64), 16)])
    codec.reset()
    assert codec.expected is None and codec.statistics.received == 0
    assert np.array_equal(through(codec, noise(2_000)), first)
    assert len(first) == 2_000


def test_the_end_is_the_end(pair):
    codec = lossless(pair())
    codec.encode(noise(10))
    assert [packet.hops for packet in codec.flush()] == [1]
    with pytest.raises(StreamStateError, match=r"reset\(\)"):
        codec.encode(noise(10))
    with pytest.raises(StreamStateError, match=r"reset\(\)"):
        codec.flush()


def test_both_directions_at_once_in_two_threads(pair):
    sender, both = lossless(pair()), lossless(pair())
    packets = encoded(sender, 400)
    found = []
    receiving = threading.Thread(target=lambda: found.extend(both.decode([packet]) for packet in packets))
    receiving.start()
    sent = [packet for at in range(0, 16_000, 40) for packet in both.encode(noise(16_000, seed=3)[at : at + 40])]
    receiving.join()
    assert np.allclose(np.concatenate(found), noise(16_000), atol=LSB)
    assert np.allclose(sender.decode(sent), noise(16_000, seed=3), atol=LSB)


@pytest.mark.parametrize(
    "options", [{"channels": 0}, {"channels": 9}, {"sample_rate": 999}, {"sample_rate": 8e3}, {"hops_per_packet": 256}]
)
def test_options_out_of_range(pair, options):
    with pytest.raises(ParameterError):
        lossless(pair(), **options)


@pytest.mark.parametrize("ending", ["", "-encoder.onnx", "-decoder.onnx"])
def test_a_codec_is_found_by_the_path_of_either_file(pair, ending):
    path = pair()
    codec = Codec(f"{path}{ending}", kbps=128)
    assert codec.name == "pcm" and len(codec.identity) == 64


def test_another_encoder_for_the_same_decoder_is_found_by_its_name(tmp_path, pair):
    folder = tmp_path / "an-encoder"
    folder.mkdir()
    for end, name in (("-encoder", "-encoder-denoise"), ("-decoder", "-decoder")):
        shutil.copy(f"{pair()}{end}.onnx", folder / f"mine{name}.onnx")
    codec = Codec(folder / "mine-encoder-denoise", kbps=128)
    assert codec.identity == lossless(pair()).identity
    with pytest.raises(ModelNotFoundError, match="mine-encoder"):
        Codec(folder / "mine")


def test_models_that_are_missing_or_do_not_belong_together(tmp_path, pair):
    with pytest.raises(ModelNotFoundError, match="no-such-codec-encoder"):
        Codec("no-such-codec")
    shutil.copy(f"{pair()}-encoder.onnx", tmp_path / "half-encoder.onnx")
    with pytest.raises(ModelNotFoundError, match="half-decoder"):
        Codec(tmp_path / "half")
    shutil.copy(f"{pair(hop=32)}-decoder.onnx", tmp_path / "half-decoder.onnx")
    with pytest.raises(ModelFormatError, match="hop is 40 and 32"):
        Codec(tmp_path / "half")
    shutil.copy(models.identity(tmp_path / "identity.onnx"), tmp_path / "half-decoder.onnx")
    with pytest.raises(ModelFormatError, match="of kind 'denoiser'"):
        Codec(tmp_path / "half")
