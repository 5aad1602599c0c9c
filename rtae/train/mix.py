"""Training examples mixed on the fly: recorded speech and noise, disturbed as real microphones disturb them.

Every example is a function of the seed and its number alone, so a resumed training sees what an uninterrupted one
would.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import soundfile
import torch
from numpy.random import Generator
from scipy.fft import next_fast_len
from scipy.signal import resample

from rtae.errors import ParameterError
from rtae.train.config import DataConfig
from rtae.train.store import Recording, Store
from rtae.train.synthetic import computed, synthetic_noise

NARROW_BANDS_HZ = (3400.0, 4000.0, 5500.0, 7000.0, 8000.0, 11000.0, 16000.0)
SPEECH_SPEED, NOISE_SPEED = 1.15, 1.7
"""Fastest speeds that recordings are played at; their inverses are the slowest."""
CORNERS = 8
"""Frequencies, an equal ratio apart, between which an equaliser's curve is straight in decibels over the logarithm."""


@dataclass(frozen=True)
class Example:
    """A noisy recording and the speech in it, float32 arrays of (samples,), and in words what was done to both."""

    noisy: np.ndarray
    clean: np.ndarray
    done: tuple[str, ...]


def active_rms(audio: np.ndarray, sample_rate: int) -> float:
    """Return the root mean square over 20 ms frames within 35 dB of the loudest (0 for silence)."""
    frame = sample_rate // 50
    frames = audio[: audio.size // frame * frame].reshape(-1, frame)
    power = np.einsum("ij,ij->i", frames, frames) / frame
    if power.size == 0 or power.max() <= 1e-12:
        return 0.0
    return float(np.sqrt(power[power > power.max() * 10**-3.5].mean()))


def _scale(spectra: torch.Tensor, response: np.ndarray) -> None:
    """Multiply complex ``spectra`` by a real response, in place: torch would make the response complex first."""
    torch.view_as_real(spectra).mul_(torch.from_numpy(response).unsqueeze(-1))


class Source:
    """Draws segments from the recordings of a store.

    Long recordings are drawn more often, but a speaker or class with an hour does not drown one with a minute: the
    chance of a group goes with the square root of its length.
    """

    def __init__(self, store: Store, recordings: list[Recording]) -> None:
        totals: dict[str, float] = {}
        for item in recordings:
            totals[item.group] = totals.get(item.group, 0.0) + item.length
        weights = np.array([item.length / np.sqrt(totals[item.group]) for item in recordings])
        self._store, self._recordings = store, recordings
        self._shares = np.cumsum(weights / weights.sum())

    def draw(self, rng: Generator, length: int, speed: float = 1.0) -> tuple[np.ndarray, str]:
        """Return ``length`` float32 samples from a random place, and whose they are or of which class.

        At another ``speed`` the recording is played as a tape is, pitch and all.
        """
        index = min(int(np.searchsorted(self._shares, rng.random())), len(self._recordings) - 1)
        recording = self._recordings[index]
        wanted = length if speed == 1.0 else next_fast_len(round(speed * length), real=True)
        room = recording.length - wanted if recording.length > wanted else recording.length
        audio = self._store.read(recording, int(rng.integers(room)), wanted)
        return audio if wanted == length else resample(audio, length), recording.group


@dataclass(frozen=True)
class Material:
    """What examples are made of: speech, recorded noise and room responses, at one sample rate."""

    speech: Store
    noise: Store
    rooms: Store


class Mixer:
    """Draws examples of noisy speech.

    Parameters
    ----------
    material : Material
    config : DataConfig
    seed : int

    Raises
    ------
    ParameterError
        If no speech recording is as clean as the configuration asks.
    """

    def __init__(self, material: Material, config: DataConfig, seed: int) -> None:
        self.config = config
        self.seed = seed
        self.sample_rate = material.speech.sample_rate
        self.length = round(config.segment_s * self.sample_rate)
        clean = [item for item in material.speech.recordings if item.snr_db >= config.min_snr_db]
        if not clean:
            raise ParameterError(f"no speech recording reaches data.min_snr_db = {config.min_snr_db}; lower it")
        self._speech = Source(material.speech, clean)
        self._noise = Source(material.noise, material.noise.recordings)
        self._voices = material.speech
        self._rooms = material.rooms
        self._fft_length = next_fast_len(self.length, real=True)
        frequencies = np.fft.rfftfreq(self._fft_length, 1 / self.sample_rate).astype(np.float32)
        self._frequencies = frequencies
        corners = np.log(np.geomspace(60, self.sample_rate / 2, CORNERS))
        place = np.interp(np.log(np.maximum(frequencies, 1.0)), corners, np.arange(CORNERS))
        self._corner = np.minimum(place.astype(np.intp), CORNERS - 2)
        self._beyond_corner = (place - self._corner).astype(np.float32)

    def example(self, number: int) -> Example:
        """Return example ``number``."""
        rng = np.random.default_rng([self.seed, number])
        c = self.config
        kind = rng.random()
        done: list[str] = []
        speech = self._draw_speech(rng, done)
        noises: list[str] = []
        noise = self._draw_noise(rng, noises)
        if kind < c.noise_only_share:
            speech[:] = 0.0
            done += [*noises, "no speech"]
        elif kind < c.noise_only_share + c.clean_share:
            noise[:] = 0.0
            done.append("no noise")
        else:
            done += noises
        target, speech, noise = self._disturb(rng, speech, noise, done)
        speech_rms = active_rms(speech, self.sample_rate)
        noise_rms = active_rms(noise, self.sample_rate)
        if speech_rms and noise_rms:
            snr_db = rng.uniform(*c.snr_db)
            wanted_rms = speech_rms * 10 ** (-snr_db / 20)
            noise *= np.float32(wanted_rms / noise_rms)
            noise_rms = wanted_rms
            done.append(f"speech {snr_db:.0f} dB above the noise")
        if c.quiet_share and rng.random() < c.quiet_share:
            of_speech, noise = self._quiet(rng, noise, max(speech_rms, noise_rms), done)
            target, speech = target * of_speech, speech * of_speech
        noisy = speech + noise
        level = active_rms(noisy, self.sample_rate)
        peak = float(np.abs(noisy).max())
        if rng.random() < c.artefact_share and 0 < peak:
            noisy = self._degrade(rng, noisy * np.float32(0.9 / peak), done) * np.float32(peak / 0.9)
        gain = 10 ** (rng.uniform(*c.level_db) / 20) / level if level else 0.0
        if rng.random() < c.clip_share:
            ceiling = rng.uniform(0.3, 0.9) * peak
            np.clip(noisy, -ceiling, ceiling, out=noisy)
            peak = ceiling
            done.append("clipped")
        scale = np.float32(min(gain, 0.99 / max(peak, 1e-9)))
        return Example(scale * noisy, scale * target, tuple(done))

    def batch(self, step: int, size: int, first: int = 0, count: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return examples ``first .. first + count`` of a batch of ``size``: noisy and clean, (count, samples) each."""
        count = size if count is None else count
        examples = [self.example(step * size + first + index) for index in range(count)]
        return np.stack([item.noisy for item in examples]), np.stack([item.clean for item in examples])

    def _speed(self, rng: Generator, fastest: float) -> float:
        share = self.config.speed_share  # at 0 nothing is drawn: validation hears what it always heard
        return float(fastest ** rng.uniform(-1, 1)) if share and rng.random() < share else 1.0

    def _draw_speech(self, rng: Generator, done: list[str]) -> np.ndarray:
        speed = self._speed(rng, SPEECH_SPEED)
        speech, _ = self._speech.draw(rng, self.length, speed)
        if speed != 1.0:
            done.append(f"speech {speed:.2f} times as fast")
        if rng.random() < 0.25:  # a pause, which the corpora have few of
            start, stop = np.sort(rng.integers(0, self.length, 2))
            stop = min(stop, start + self.length // 2)
            fade = min(self.sample_rate // 100, (stop - start) // 2)
            gate = np.zeros(stop - start, dtype=np.float32)
            if fade:
                gate[:fade] = np.linspace(1, 0, fade)
                gate[-fade:] = np.linspace(0, 1, fade)
            speech[start:stop] *= gate
        return speech

    def _draw_noise(self, rng: Generator, done: list[str]) -> np.ndarray:
        if rng.random() < self.config.synthetic_share:
            noise, of = synthetic_noise(rng, self._voices, self.length)
        else:
            noise, of = self._noise.draw(rng, self.length, self._speed(rng, NOISE_SPEED))
        done.append(of)
        if rng.random() < self.config.second_noise_share:
            other, of = self._noise.draw(rng, self.length, self._speed(rng, NOISE_SPEED))
            first_rms, other_rms = active_rms(noise, self.sample_rate), active_rms(other, self.sample_rate)
            if first_rms and other_rms:
                noise += other * np.float32(first_rms / other_rms * 10 ** (rng.uniform(-12, 3) / 20))
                done.append(of)
        return noise

    def _quiet(
        self, rng: Generator, noise: np.ndarray, loudest: float, done: list[str]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return a gain of the speech (samples,) and the noise: both are muted for a time, or the noise sets in late.

        A network that had always heard its noise from the first sample on took seconds to recognise one that came after
        silence. Before a late noise there is the same one, quieter, and in half of the examples a floor, as microphones
        have: faint against ``loudest``.
        """
        of_speech, of_noise = np.ones((2, self.length), dtype=np.float32)
        stop = int(self.length * rng.uniform(0.05, 0.6))
        if rng.random() < 0.4:
            start = int(stop * max(0.0, rng.uniform(-1, 1)))
            of_speech[start:stop] = of_noise[start:stop] = 0.0
            done.append(f"muted from {start / self.sample_rate:.1f} to {stop / self.sample_rate:.1f} s")
            return of_speech, noise * of_noise
        rise = min(stop, int(self.sample_rate * np.exp(rng.uniform(np.log(0.001), np.log(0.3)))))
        quiet_db = rng.uniform(15, 70)
        quiet = 10 ** (-quiet_db / 20)
        of_noise[:stop] = quiet
        of_noise[stop - rise : stop] = np.geomspace(quiet, 1, rise)
        if rng.random() < 0.5:
            of_speech[:stop] = 0.0
        noise = noise * of_noise
        above = ""
        if rng.random() < 0.5:
            floor_db = rng.uniform(30, 75)
            floor = computed(rng, "coloured", self.length, self.sample_rate)
            noise += floor * np.float32(loudest * 10 ** (-floor_db / 20))
            above = f"above a floor of -{floor_db:.0f} dB, "
        done.append(f"{above}noise {quiet_db:.0f} dB quieter until {stop / self.sample_rate:.1f} s")
        return of_speech, noise

    def _disturb(
        self, rng: Generator, speech: np.ndarray, noise: np.ndarray, done: list[str]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return target, speech and noise after room, equaliser and narrow band, all applied in one transform.

        Nothing is padded: a room still rings at the beginning with what was said at the end, as in a recording that is
        cut from a longer one.
        """
        c = self.config
        room = rng.random() < c.reverb_share
        equalise = rng.random() < c.filter_share
        narrow = rng.random() < c.narrow_band_share
        if not (room or equalise or narrow):
            return speech, speech, noise
        filtered = equalise or narrow
        spectra = self._spectra(speech, noise) if filtered else self._spectra(speech)
        if equalise:
            _scale(spectra, np.stack([self._equaliser(rng), self._equaliser(rng)]))
            done.append("equalised")
        if narrow:
            corner_hz = float(rng.choice(NARROW_BANDS_HZ))
            _scale(spectra, self._low_pass(corner_hz))
            done.append(f"nothing above {corner_hz:.0f} Hz")
        if room:
            done.append("in a room")
            spectra = torch.cat([spectra[:1] * self._spectra(*self._room(rng)), spectra[1:]])
        signals = torch.fft.irfft(spectra, self._fft_length)[:, : self.length].numpy()
        return signals[0], signals[1 if room else 0], signals[-1] if filtered else noise

    def _spectra(self, *signals: np.ndarray) -> torch.Tensor:
        return torch.fft.rfft(torch.from_numpy(np.stack(signals)), self._fft_length)

    def _equaliser(self, rng: Generator) -> np.ndarray:
        logarithm = (rng.uniform(-6, 6, CORNERS) * np.log(10) / 20).astype(np.float32)
        curve = np.diff(logarithm).take(self._corner)
        curve *= self._beyond_corner
        curve += logarithm.take(self._corner)
        return np.exp(curve, out=curve)

    def _low_pass(self, corner_hz: float) -> np.ndarray:
        place = np.clip((self._frequencies - 0.93 * corner_hz) / (0.07 * corner_hz), 0, 1)
        return np.asarray(np.cos(0.5 * np.pi * place) ** 2, dtype=np.float32)

    def _room(self, rng: Generator) -> tuple[np.ndarray, np.ndarray]:
        """Return a room's early response (direct sound and 50 ms more, which stay in the target) and its full one."""
        recording = self._rooms.recordings[rng.integers(len(self._rooms.recordings))]
        full = self._rooms.read(recording, 0, recording.length)
        early = full.copy()
        early[self.sample_rate // 20 :] = 0.0
        return early, full

    def _degrade(self, rng: Generator, noisy: np.ndarray, done: list[str]) -> np.ndarray:
        """Return the noisy signal as a telephone or conference system leaves it; the target stays as it was."""
        kind = rng.choice(["opus", "decimate", "bits"])
        if kind == "bits":
            bits = rng.integers(7, 12)
            done.append(f"of {bits + 1} bits")
            steps = 2.0**bits
            return np.asarray(np.rint(noisy * steps) / steps, dtype=np.float32)
        if kind == "decimate":  # a careless resampler: no filter before, straight lines after
            factor = int(rng.choice([2, 3, 6]))
            done.append(f"badly resampled to a rate of 1/{factor} and back")
            times = np.arange(noisy.size)
            return np.interp(times, times[::factor], noisy[::factor]).astype(np.float32)
        done.append("sent through Opus")
        file = io.BytesIO()
        level = float(rng.uniform(0.5, 1.0))
        soundfile.write(file, noisy, self.sample_rate, "OPUS", format="OGG", compression_level=level)
        file.seek(0)
        coded, _ = soundfile.read(file, frames=noisy.size, dtype="float32", fill_value=0.0)
        return np.asarray(coded)
