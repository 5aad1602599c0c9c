"""What a gap sounds like: repeated, faded, brought back. Hops of 5 ms at 8 kHz, decoded without memory.

In every other hop, from the first, the decoder goes on by itself: this one, without memory, is silent there.
"""

import numpy as np
import pytest

from rtae.codec import Codec, Packet
from rtae.errors import ParameterError

HOP = 40


@pytest.fixture
def codec(pair):
    return Codec(pair(), kbps=128)


def hops(codec, *levels):
    """Packets of one hop each of constant level."""
    audio = np.repeat(np.array(levels, np.float32), HOP)
    return codec.encode(audio)


def levels(audio):
    """Level at the end of each hop."""
    assert len(audio) and len(audio) % HOP == 0
    return audio[HOP - 1 :: HOP, 0]


def test_a_gap_repeats_holds_and_fades_to_silence(codec):
    codec.decode(hops(codec, 0.5))
    out = codec.conceal(40)
    assert not levels(out)[::2].any()
    repeated = levels(out)[1::2]
    assert np.allclose(repeated[:4], 0.5, atol=1e-3)  # held for 40 ms
    assert np.allclose(repeated[4:16], 0.5 * np.arange(22, -1, -2) / 24, atol=1e-3)  # faded within 120 ms
    assert not out[32 * HOP :].any()
    assert np.abs(np.diff(out.reshape(-1, HOP))).max() < 0.002  # no step in a hop


def test_after_a_gap_the_sound_comes_back_within_10_ms(codec):
    first, *rest = hops(codec, 0.5, *[0.4] * 50)
    codec.decode([first])
    codec.conceal(40)
    out = codec.decode(rest[40:])
    assert np.allclose(levels(out), [0.2, *[0.4] * 9], atol=1e-3)
    assert abs(out[0, 0]) < 0.01


@pytest.mark.parametrize(
    ("gap", "expected"),
    [
        (1, [0.0]),
        (2, [0.0, 0.3]),
        (3, [0.0, 0.5, 0.3]),
        (4, [0.0, 0.5, 0.3, 0.3]),
        # 40 ms are made from what follows at most; the fade that began after 40 ms turns round there.
        (20, [0.0, 0.5] * 4 + [0.0, 0.5 * 22 / 24, 0.0, 0.5 * 20 / 24] + [0.3] * 8),
    ],
)
@pytest.mark.parametrize("at_once", [True, False])
def test_the_end_of_a_gap_is_made_from_what_follows(codec, gap, expected, at_once):
    packets = hops(codec, 0.5, *[0.9] * gap, 0.3)
    last = packets[gap + 1]
    if at_once:
        out = codec.decode([packets[0], last])[HOP:]
    else:  # as a receiver plays, hop by hop
        codec.decode([packets[0]])
        blocks = [codec.conceal(1, upcoming=last) for _ in range(gap)]
        out = np.concatenate([*blocks, codec.decode([last])])
    assert np.allclose(levels(out), [*expected, 0.3], atol=1e-3)
    assert codec.statistics.concealed == gap and codec.statistics.received == 2


def test_two_gaps_in_a_row_go_on_from_the_level_there_is(codec):
    packets = hops(codec, *[0.5] * 40)
    codec.decode(packets[:1])
    codec.conceal(32)
    out = codec.decode(packets[33:34])
    level = levels(out)[-1]
    assert level == pytest.approx(0.25, abs=1e-3)
    again = codec.conceal(3)
    assert np.abs(again).max() <= 0.2501
    assert abs(float(again[HOP, 0]) - level) < 0.002


def test_stages_that_were_not_sent_are_not_made_up(pair):
    codec = Codec(pair(), kbps=32)
    codec.decode(hops(codec, 0.5))
    out = codec.conceal(2)[HOP:]
    assert np.allclose(out[:10], 0.5, atol=1e-3) and not out[10:].any()


def test_what_cannot_be_concealed_with(codec):
    with pytest.raises(ParameterError, match="hops"):
        codec.conceal(-1)
    with pytest.raises(ParameterError, match="this codec takes"):
        codec.conceal(1, Packet(1, np.zeros((1, 2, 1), np.int64), 16))
    assert codec.conceal(0).shape == (0, 1)
