"""What the encoder makes of a recording before it quantises it, as features: :func:`latents_of`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rtae.base import Frames
from rtae.model import Model
from rtae.resample import StreamingResampler


def latents_of(encoder: Model, audio: Frames, sample_rate: int) -> NDArray[np.float32]:
    """Return the latents of a whole recording, hop by hop.

    Parameters
    ----------
    encoder : Model
        A codec's encoder with a stream for every channel. It is reset first.
    audio : ndarray, shape (n, channels)
        The recording.
    sample_rate : int
        Its rate in hertz.

    Returns
    -------
    ndarray, shape (hops, channels, latent_size)
        Row ``i`` is of the samples up to ``(i + 1) * hop`` at the codec's rate; silence fills up the last hop.

    Raises
    ------
    ParameterError
        If the encoder gives no latents.
    """
    spec, channels = encoder.spec, audio.shape[1]
    if sample_rate != spec.sample_rate:
        inward = StreamingResampler(sample_rate, spec.sample_rate, channels)
        late = int(inward.delay)
        samples = -(-len(audio) * spec.sample_rate // sample_rate)
        rest = np.zeros((-(-late * sample_rate // spec.sample_rate), channels), np.float32)
        audio = np.concatenate([inward.process(audio), inward.process(rest)])[late : late + samples]
    hops = -(-len(audio) // spec.hop)
    padded = np.concatenate([audio, np.zeros((hops * spec.hop - len(audio), channels), np.float32)])
    encoder.reset()
    latents = np.empty((hops, channels, spec.latent_size), np.float32)
    for hop in range(hops):
        latents[hop] = encoder.latents_step(padded[hop * spec.hop : (hop + 1) * spec.hop].T)
    return latents
