"""Training configuration: a TOML file read into frozen dataclasses, every key documented here, none unknown."""

from __future__ import annotations

import dataclasses
import json
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from rtae.errors import ParameterError


@dataclass(frozen=True)
class DataConfig:
    """What the mixer draws from and how it disturbs it.

    Attributes
    ----------
    segment_s : float
        Length of one training example in seconds.
    snr_db : tuple of float
        Range of the segmental signal-to-noise ratio, over active speech.
    level_db : tuple of float
        Range of the mixture's level in dBFS, root mean square over active speech: at -12 its peaks reach full scale.
    clean_share, noise_only_share : float
        Shares of examples without noise and without speech.
    second_noise_share, synthetic_share : float
        Shares of noisy examples with a second recorded noise, and with a synthetic noise in place of a recorded one.
    speed_share : float
        Share of speech and of noise recordings that are played faster or slower than they are: other voices, other
        machines. Validation leaves it out.
    quiet_share : float
        Share of examples in which the microphone is muted for a time, or the noise sets in late. Validation leaves it
        out.
    reverb_share, filter_share, narrow_band_share, clip_share, artefact_share : float
        Shares of examples with a simulated room, with random equalisation of speech and noise, with both sides
        low-passed (a narrow-band microphone), with the mixture clipped, and with the mixture sent through a codec, a
        careless resampler or few bits.
    min_snr_db : float
        Speech files with less estimated distance between speech and background are not used.
    """

    segment_s: float = 2.5
    snr_db: tuple[float, float] = (-10.0, 25.0)
    level_db: tuple[float, float] = (-45.0, -12.0)
    clean_share: float = 0.12
    noise_only_share: float = 0.03
    second_noise_share: float = 0.25
    synthetic_share: float = 0.3
    speed_share: float = 0.5
    quiet_share: float = 0.2
    reverb_share: float = 0.15
    filter_share: float = 0.3
    narrow_band_share: float = 0.15
    clip_share: float = 0.05
    artefact_share: float = 0.05
    min_snr_db: float = 20.0


@dataclass(frozen=True)
class NetConfig:
    """Size of the denoising network, see :class:`rtae.train.nets.Denoiser`.

    Attributes
    ----------
    sample_rate, hop, synthesis, fft : int
        Rate in hertz; hop, synthesis window and analysis window in samples. The algorithmic latency is ``synthesis``.
    bands, linear_bands : int
        Bands the spectrum is reduced to, and how many of them, from the lowest, are single bins.
    channels, bottleneck_channels : int
        Channels of the convolutions and of the bottleneck.
    full_band : int
        Width of the full-band recurrence in each bottleneck block.
    blocks : int
        Bottleneck blocks.
    dropout : float
        Share of the full-band recurrence's inputs set to zero in training.
    floor : float
        Gain at which the input always stays in the output, except in training: it covers up what the mask takes away
        wrongly.
    """

    sample_rate: int = 48000
    hop: int = 256
    synthesis: int = 384
    fft: int = 1024
    bands: int = 128
    linear_bands: int = 64
    channels: int = 32
    bottleneck_channels: int = 48
    full_band: int = 192
    blocks: int = 2
    dropout: float = 0.0
    floor: float = 0.0


@dataclass(frozen=True)
class LossConfig:
    """Weights of the loss terms, see :mod:`rtae.train.losses`.

    Attributes
    ----------
    windows : tuple of int
        STFT windows in samples, one compressed-spectrum loss each; the hop is half of the window.
    compression : float
        Exponent of the magnitudes.
    complex_weight, magnitude_weight, wave_weight : float
        Weights of the complex, magnitude and waveform terms.
    removed_speech_weight : float
        Extra weight of magnitude errors where the estimate falls below the clean speech.
    speech_weight : float
        Weight of the speech-probability term.
    mse_weight : float
        Weight of the waveform's mean squared error, the plain baseline.
    si_sdr_weight, estoi_weight, dnsmos_weight : float
        Weights of measures as terms, see :mod:`rtae.train.metric_losses`; a measure that was trained on no longer
        proves anything, and the model says so.
    dnsmos_every : int
        DNSMOS judges every so many examples of a batch, with as much more weight: it costs the most time of all terms.
    adversarial_weight, feature_weight : float
        Weights of the adversarial and the feature-matching term of a denoiser; 0 and 0 train without discriminator.
    discriminator_windows, discriminator_channels : tuple of int, int
        STFT windows of the discriminators, and channels of each.
    """

    windows: tuple[int, ...] = (512, 1536)
    compression: float = 0.3
    complex_weight: float = 0.3
    magnitude_weight: float = 0.7
    wave_weight: float = 0.2
    removed_speech_weight: float = 0.3
    speech_weight: float = 0.05
    mse_weight: float = 0.0
    si_sdr_weight: float = 0.0
    estoi_weight: float = 0.0
    dnsmos_weight: float = 0.0
    dnsmos_every: int = 1
    adversarial_weight: float = 0.0
    feature_weight: float = 0.0
    discriminator_windows: tuple[int, ...] = (512, 1024, 2048)
    discriminator_channels: int = 16


@dataclass(frozen=True)
class CodecConfig:
    """Size of the codec's network and how it is trained, see :mod:`rtae.train.codec_nets`.

    Attributes
    ----------
    sample_rate, hop, analysis, synthesis : int
        Rate in hertz; hop, window of the encoder and window of the decoder in samples. The algorithmic latency of
        encoder and decoder together is ``synthesis``.
    width, encoder_blocks, decoder_blocks, kernel : int
        Width of the dense layers, blocks of encoder and decoder, frames a block's convolution sees.
    latent : int
        Numbers a frame between encoder and decoder.
    bottleneck : str
        ``codes`` for residual vector quantisation, ``gaussian`` for the variational twin.
    stages, bits : int
        Codes a frame and bits of each.
    continuous_steps : int
        Steps before the codebooks start, in which the latents pass as they are.
    code_decay : float
        Decay a step of the moving averages that are the codebooks.
    commitment_weight : float
        Weight of the distance between latents and their codes.
    divergence_weight, warmup_steps : float, int
        Weight of the Gaussian's divergence in nats a frame, and steps over which it grows from zero.
    mel_windows, mel_weight : tuple of int, float
        STFT windows in samples of the mel loss, and its weight.
    part : str
        What is trained: ``all``; ``decoder``, on latents of a finished encoder; or ``encoder``, for a finished decoder.
    adversarial_weight, feature_weight : float
        Weights of the adversarial and the feature-matching term; 0 and 0 train without discriminator.
    discriminator_windows, discriminator_channels : tuple of int, int
        STFT windows of the discriminators, and channels of each.
    """

    sample_rate: int = 24000
    hop: int = 240
    analysis: int = 720
    synthesis: int = 480
    width: int = 256
    encoder_blocks: int = 3
    decoder_blocks: int = 4
    kernel: int = 5
    latent: int = 64
    bottleneck: str = "codes"
    stages: int = 9
    bits: int = 10
    continuous_steps: int = 600
    code_decay: float = 0.99
    commitment_weight: float = 0.25
    divergence_weight: float = 1e-3
    warmup_steps: int = 2000
    mel_windows: tuple[int, ...] = (256, 512, 1024, 2048)
    mel_weight: float = 1.0
    part: str = "all"
    adversarial_weight: float = 0.0
    feature_weight: float = 0.0
    discriminator_windows: tuple[int, ...] = (256, 512, 1024)
    discriminator_channels: int = 16


@dataclass(frozen=True)
class OptimConfig:
    """How the weights are found.

    Attributes
    ----------
    batch : int
        Examples a step, over all processes together.
    steps : int
        Length of the learning-rate schedule in steps; training ends there.
    learning_rate, final_learning_rate : float
        Peak and end of the schedule: linear warm-up, then cosine.
    warmup_steps : int
        Steps of linear warm-up.
    weight_decay, clip_norm : float
        Decay of weight matrices and kernels; norm the gradient is clipped to.
    ema : float
        Decay a step of the averaged weights that are validated and exported.
    bf16 : bool
        Convolutions and matrix products in bfloat16, where the processor computes in it; elsewhere in float32.
    validate_every, validation_batches : int
        Steps between validations, and batches in one.
    patience : int
        Validations without improvement after which training stops; 0 never stops early, nor does an adversarial stage.
    checkpoint_minutes : float
        Time between checkpoints.
    seed : int
        Seed of the weights and of every example.
    """

    batch: int = 16
    steps: int = 20000
    learning_rate: float = 2e-3
    final_learning_rate: float = 1e-5
    warmup_steps: int = 300
    weight_decay: float = 1e-2
    clip_norm: float = 1.0
    ema: float = 0.999
    bf16: bool = True
    validate_every: int = 500
    validation_batches: int = 4
    patience: int = 0
    checkpoint_minutes: float = 5.0
    seed: int = 1


@dataclass(frozen=True)
class TrainConfig:
    """A whole training: ``name`` of the model and the tables of the TOML file.

    With a table ``codec`` it is a codec that is trained, and ``net`` is not used.
    """

    name: str = "denoise"
    data: DataConfig = field(default_factory=DataConfig)
    net: NetConfig = field(default_factory=NetConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    codec: CodecConfig | None = None

    @property
    def sample_rate(self) -> int:
        """Rate in hertz of the recordings that are trained on."""
        return self.net.sample_rate if self.codec is None else self.codec.sample_rate

    def to_json(self) -> str:
        """Return the configuration as JSON, the form kept in a checkpoint."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True)


RETIRED = {"optim.compile"}
"""Keys that older files hold and that mean nothing any more."""

_Section = TypeVar("_Section")


def _section(cls: type[_Section], name: str, values: Any) -> _Section:
    if not isinstance(values, dict):
        raise ParameterError(f"config: [{name}] must be a table")
    known = {item.name: item for item in dataclasses.fields(cls)}  # type: ignore[arg-type]
    values = {key: value for key, value in values.items() if f"{name}.{key}" not in RETIRED}
    for key, value in values.items():
        if key not in known:
            raise ParameterError(f"config: unknown key {key!r} in [{name}]; known: {', '.join(sorted(known))}")
        default = known[key].default
        wanted: tuple[type, ...] = (int, float) if isinstance(default, float) else (type(default),)
        if isinstance(default, tuple):
            wanted = (list, tuple)
        if not isinstance(value, wanted) or (isinstance(value, bool) and not isinstance(default, bool)):
            raise ParameterError(f"config: {name}.{key} is {value!r}, expected a {type(default).__name__}")
    return cls(**{key: tuple(value) if isinstance(value, list) else value for key, value in values.items()})


def parse_config(data: dict[str, Any]) -> TrainConfig:
    """Build a :class:`TrainConfig` from nested dictionaries.

    Raises
    ------
    ParameterError
        For an unknown table or key, or a value of the wrong type; the message lists what is known.
    """
    sections = {"data": DataConfig, "net": NetConfig, "loss": LossConfig, "optim": OptimConfig}
    for key in data:
        if key not in ("name", "codec", *sections):
            raise ParameterError(f"config: unknown entry {key!r}; known: name, {', '.join(sections)}, codec")
    name = data.get("name", TrainConfig.name)
    if not isinstance(name, str) or not name:
        raise ParameterError("config: name must be a non-empty string")
    parts: dict[str, Any] = {key: _section(cls, key, data.get(key, {})) for key, cls in sections.items()}
    if data.get("codec") is not None:
        parts["codec"] = _section(CodecConfig, "codec", data["codec"])
        if parts["loss"].adversarial_weight or parts["loss"].feature_weight:
            raise ParameterError("config: the weights of a codec's discriminator belong into [codec], not into [loss]")
    return TrainConfig(name=name, **parts)


def load_config(path: str | Path) -> TrainConfig:
    """Read a TOML configuration file.

    Raises
    ------
    ParameterError
        If the file is missing, no TOML, or holds anything unknown.
    """
    try:
        with open(path, "rb") as file:
            return parse_config(tomllib.load(file))
    except OSError as error:
        raise ParameterError(f"cannot read config {path}: {error.strerror}") from None
    except tomllib.TOMLDecodeError as error:
        raise ParameterError(f"config {path} is not valid TOML: {error}") from None
