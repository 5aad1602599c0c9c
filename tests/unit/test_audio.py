import resource
import struct
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from rtae.audio import AudioReader, AudioWriter, output_format
from rtae.errors import AudioFileError, MissingDependencyError

RATE = 48_000
SEED = 20


def noise(samples, channels=1, seed=SEED):
    print("seed", seed)
    return (0.1 * np.random.default_rng(seed).standard_normal((samples, channels))).astype(np.float32)


def read(path):
    with AudioReader(path) as reader:
        return np.concatenate(list(reader.blocks(1000)))


def write(path, audio, format="WAV", subtype="PCM_16", rate=RATE, block=777):
    with AudioWriter(path, sample_rate=rate, channels=audio.shape[1], format=format, subtype=subtype) as writer:
        for start in range(0, len(audio), block):
            writer.write(audio[start : start + block])


def wav_bytes(channels=1, data=bytes(1000), declared=None):
    """Return a 16-bit wav with a header of our choice."""
    declared = len(data) if declared is None else declared
    header = struct.pack("<IHHIIHH", 16, 1, channels, RATE, 2 * channels * RATE, 2 * channels, 16)
    chunks = b"WAVEfmt " + header + b"data" + struct.pack("<I", declared) + data
    return b"RIFF" + struct.pack("<I", min(36 + declared, 0xFFFFFFFF)) + chunks


CODINGS = [
    ("WAV", "PCM_U8", 2**-7),
    ("WAV", "PCM_16", 2**-15),
    ("WAV", "PCM_24", 2**-23),
    ("WAV", "PCM_32", 2**-23),
    ("WAV", "FLOAT", 0.0),
    ("WAVEX", "PCM_24", 2**-23),
    ("AIFF", "PCM_16", 2**-15),
    ("FLAC", "PCM_16", 2**-15),
    ("FLAC", "PCM_24", 2**-23),
    ("CAF", "ALAC_16", 2**-15),
]


@pytest.mark.parametrize(("format", "subtype", "step"), CODINGS)
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_lossless_codings_round_to_the_nearest_step(tmp_path, format, subtype, step, channels):
    audio = noise(5000, channels)
    write(tmp_path / "a", audio, format, subtype)
    with AudioReader(tmp_path / "a") as reader:
        assert (reader.sample_rate, reader.channels, reader.frames) == (RATE, channels, 5000)
        assert (reader.format, reader.subtype) == (format, subtype)
    back = read(tmp_path / "a")
    assert back.shape == audio.shape and back.dtype == np.float32
    assert np.abs(back - audio).max() <= 0.51 * step
    assert abs(np.mean(back - audio)) <= 0.05 * step


@pytest.mark.parametrize(("format", "subtype"), [("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III")])
@pytest.mark.parametrize("samples", [100, 48_001])
def test_lossy_codings_keep_length_and_alignment(tmp_path, format, subtype, samples):
    time = np.arange(samples) / RATE
    audio = (0.3 * np.sin(2 * np.pi * (300 + 400 * time) * time)).astype(np.float32)[:, None]
    write(tmp_path / "a", audio, format, subtype)
    back = read(tmp_path / "a")
    assert back.shape == audio.shape
    if samples > 10_000:
        middle = slice(4000, -4000)
        assert np.corrcoef(back[middle, 0], audio[middle, 0])[0, 1] > 0.99


@pytest.mark.parametrize(
    ("format", "subtype"),
    [
        ("WAV", "PCM_U8"),
        ("WAV", "PCM_16"),
        ("WAV", "PCM_24"),
        ("WAV", "PCM_32"),
        ("WAV", "ULAW"),
        ("WAV", "ALAW"),
        ("WAV", "IMA_ADPCM"),
        ("FLAC", "PCM_16"),
        ("AIFF", "PCM_16"),
    ],
)
def test_loud_samples_are_clipped_and_never_wrap_around(tmp_path, format, subtype):
    ramp = np.linspace(-4, 4, 8178, dtype=np.float32)[:, None]  # two whole blocks of IMA ADPCM
    write(tmp_path / "a", ramp, format, subtype)
    back = read(tmp_path / "a")[: len(ramp)]
    assert len(back) == len(ramp)
    loud = np.abs(ramp[:, 0]) > 1.1
    assert loud.sum() > 1000
    assert np.all(np.sign(back[loud]) == np.sign(ramp[loud]))
    assert np.abs(back[loud]).min() > 0.95


@pytest.mark.parametrize(
    ("format", "subtype"), [*(coding[:2] for coding in CODINGS), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III")]
)
def test_reading_in_blocks_equals_reading_at_once(tmp_path, format, subtype):
    write(tmp_path / "a", noise(20_000), format, subtype)
    whole = soundfile.read(tmp_path / "a", dtype="float32", always_2d=True)[0]
    assert len(whole) == 20_000
    assert np.abs(read(tmp_path / "a") - whole).max() < 1e-7


def test_float_files_keep_samples_above_full_scale(tmp_path):
    write(tmp_path / "a", np.full((100, 1), 2.5, np.float32), "WAV", "FLOAT")
    assert np.all(read(tmp_path / "a") == np.float32(2.5))


def test_sixteen_bit_file_survives_a_round_trip_bit_for_bit(tmp_path):
    values = np.arange(-32768, 32768, dtype=np.int16)
    soundfile.write(tmp_path / "a.wav", values, RATE)
    write(tmp_path / "b.wav", read(tmp_path / "a.wav"))
    assert np.array_equal(soundfile.read(tmp_path / "b.wav", dtype="int16")[0], values)


def test_file_of_unknown_length_is_read_to_its_end(tmp_path):
    for declared in (0xFFFFFFFF, 0x7FFFFFFF):
        (tmp_path / "pipe.wav").write_bytes(wav_bytes(declared=declared))
        assert read(tmp_path / "pipe.wav").shape == (500, 1)


def test_bytes_behind_the_audio_do_no_harm(tmp_path):
    (tmp_path / "a.wav").write_bytes(wav_bytes() + b"junk" * 10)
    assert read(tmp_path / "a.wav").shape == (500, 1)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("empty.wav", b"", "empty"),
        ("text.wav", b"this is no sound\n" * 100, "no sound file"),
        ("picture.flac", b"\x89PNG\r\n\x1a\n" + bytes(100), "no sound file"),
        ("no-channels.wav", wav_bytes(channels=0), "channel"),
        ("too-many-channels.wav", wav_bytes(channels=2000), "channel"),
        ("no-samples.wav", wav_bytes(data=b""), "0 samples"),
        ("bare.raw", bytes(100), "rate"),
    ],
)
def test_what_is_no_audio_is_refused_by_name(tmp_path, name, content, words):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(AudioFileError, match=words) as failure:
        AudioReader(path)
    assert str(failure.value).startswith(f"cannot read '{path}': ")
    assert "\n" not in str(failure.value)


def test_missing_file_folder_and_device_are_refused(tmp_path):
    with pytest.raises(AudioFileError, match="No such file"):
        AudioReader(tmp_path / "missing.wav")
    with pytest.raises(AudioFileError, match="folder"):
        AudioReader(tmp_path)
    with pytest.raises(AudioFileError, match="no regular file"):
        AudioReader("/dev/zero")
    with pytest.raises(AudioFileError, match="name too long"):
        AudioReader(tmp_path / ("x" * 300))


@pytest.mark.parametrize("share", [0.4, 0.7, 0.98])
@pytest.mark.parametrize(
    ("format", "subtype"),
    [
        ("WAV", "PCM_16"),
        ("WAV", "FLOAT"),
        ("AIFF", "PCM_16"),
        ("W64", "PCM_16"),
        ("RF64", "PCM_16"),
        ("AU", "PCM_16"),
        ("CAF", "PCM_16"),
        ("FLAC", "PCM_16"),
        ("OGG", "VORBIS"),
        ("OGG", "OPUS"),
        ("MP3", "MPEG_LAYER_III"),
    ],
)
def test_truncated_file_is_refused(tmp_path, format, subtype, share):
    write(tmp_path / "whole", noise(96_000), format, subtype)
    assert len(read(tmp_path / "whole")) == 96_000
    content = (tmp_path / "whole").read_bytes()
    (tmp_path / "cut").write_bytes(content[: int(share * len(content))])
    with pytest.raises(AudioFileError, match=r"cannot read .*(truncated|damaged)"):
        read(tmp_path / "cut")


def test_rate_that_the_format_cannot_hold_is_refused(tmp_path):
    with pytest.raises(AudioFileError, match="OGG/OPUS with 1 channels at 44100 Hz is not possible"):
        write(tmp_path / "a.opus", noise(100), "OGG", "OPUS", rate=44_100)
    assert list(tmp_path.iterdir()) == []


LIMITED = """
import sys, numpy as np
from rtae.audio import AudioWriter
from rtae.errors import AudioFileError, MissingDependencyError
path, format, subtype = sys.argv[1:]
audio = (0.1 * np.random.default_rng(0).standard_normal((8192, 1))).astype(np.float32)
try:
    with AudioWriter(path, sample_rate=48000, channels=1, format=format, subtype=subtype) as writer:
        for _ in range(100):
            writer.write(audio)
except AudioFileError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("format", "subtype"),
    [
        ("WAV", "PCM_16"),
        ("FLAC", "PCM_16"),
        ("OGG", "VORBIS"),
        ("OGG", "OPUS"),
        ("MP3", "MPEG_LAYER_III"),
        ("CAF", "PCM_16"),
    ],
)
def test_file_that_may_not_grow_is_reported_and_removed(tmp_path, format, subtype):
    path = tmp_path / "out"
    path.write_bytes(b"old")
    result = subprocess.run(
        [sys.executable, "-c", LIMITED, path, format, subtype],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (16_384, 16_384)),
        capture_output=True,
        text=True,
    )
    assert result.stderr == "" or "Xing" in result.stderr
    assert result.stdout.startswith(f"cannot write '{path}': ")
    assert "File too large" in result.stdout or "arrived" in result.stdout
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize(
    ("source", "name", "expected"),
    [
        (("a.wav", "WAV", "PCM_24"), "b.WAV", ("WAV", "PCM_24")),
        (("a.mp3", "WAV", "PCM_16"), "b.mp3", ("WAV", "PCM_16")),  # the content counts, not the name
        (("a.wav", "WAV", "PCM_24"), "b.flac", ("FLAC", "PCM_24")),
        (("a.wav", "WAV", "FLOAT"), "b.flac", ("FLAC", "PCM_24")),
        (("a.wav", "WAV", "PCM_16"), "b.ogg", ("OGG", "VORBIS")),
        (("a.wav", "WAV", "PCM_16"), "b.opus", ("OGG", "OPUS")),
        (("a.wav", "WAV", "PCM_16"), "b.mp3", ("MP3", "MPEG_LAYER_III")),
        (("a.ogg", "OGG", "VORBIS"), "b.wav", ("WAV", "PCM_16")),
        (("a.mp3", "MP3", "MPEG_LAYER_III"), "b.wav", ("WAV", "PCM_16")),
        (("a.mp3", "MP3", "MPEG_LAYER_III"), "b.ogg", ("OGG", "VORBIS")),
        (("a.ogg", "OGG", "VORBIS"), "b.oga", ("OGG", "VORBIS")),
        (("a.caf", "CAF", "ALAC_24"), "b.wav", ("WAV", "PCM_24")),
        (("a.wav", "WAV", "ULAW"), "b.flac", ("FLAC", "PCM_16")),
        (("a.wav", "WAV", "PCM_U8"), "b.flac", ("FLAC", "PCM_16")),
        (("a.wav", "WAV", "PCM_16"), "b.aif", ("AIFF", "PCM_16")),
    ],
)
def test_output_format_follows_the_suffix_and_keeps_the_coding(tmp_path, source, name, expected):
    path, format, subtype = tmp_path / source[0], *source[1:]
    write(path, noise(1000), format, subtype)
    with AudioReader(path) as reader:
        assert output_format(name, reader) == expected
        write(tmp_path / name, noise(1000), *expected)
    assert len(read(tmp_path / name)) == 1000


@pytest.mark.parametrize("name", ["b", "b.txt", "b.raw"])
def test_unknown_suffix_is_refused(tmp_path, name):
    write(tmp_path / "a.wav", noise(1000))
    with AudioReader(tmp_path / "a.wav") as reader, pytest.raises(AudioFileError, match="unknown suffix"):
        output_format(name, reader)


def test_library_that_is_missing_is_named(tmp_path, monkeypatch):
    write(tmp_path / "a.wav", noise(100))
    monkeypatch.setitem(sys.modules, "soundfile", None)
    with pytest.raises(MissingDependencyError, match="pip install soundfile"):
        AudioReader(tmp_path / "a.wav")
    with pytest.raises(MissingDependencyError, match="pip install soundfile"):
        AudioWriter(tmp_path / "b.wav", sample_rate=RATE, channels=1, format="WAV", subtype="PCM_16")
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.wav"]


def test_importing_the_module_loads_no_library():
    code = (
        "import sys, rtae.audio; print([name for name in ('soundfile', 'sounddevice', 'torch') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"
