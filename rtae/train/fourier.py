"""The discrete Fourier transform of real frames as two matrix products, each way, for graphs of one hop.

A runtime multiplies small matrices at full speed, while its operator for transforms serves any size. The transform is
split as by Cooley and Tukey ("An algorithm for the machine calculation of complex Fourier series", 1965): with
n = columns * row + column and k = low + rows * high, over the rows first, then a twiddle factor, then over the columns.
Real input needs half of the high indices, and a synthesis window the last rows alone.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn


def split(size: int) -> tuple[int, int]:
    """Return the rows and the columns into which a transform of ``size`` points, an even number, is split.

    The columns are even, so that the highest frequency has an index of its own, and at least as many as the rows.
    """
    columns = next(n for n in range(2, size + 1, 2) if size % n == 0 and n * n >= size)
    return size // columns, columns


def constant(value: np.ndarray) -> nn.Buffer:
    """Return ``value`` as a buffer in single precision that no checkpoint keeps."""
    return nn.Buffer(torch.tensor(value, dtype=torch.float32), persistent=False)


class MatrixFourier(nn.Module):
    """Transforms of frames of ``size`` samples, back to the last ``len(window)`` of them.

    Spectra are (frames, 1, 2, bins), real and imaginary parts, with ``bins`` = size / 2 + rows: the ones above
    size / 2 repeat others and are to be ignored, or multiplied by :attr:`share`, before the way back.

    Parameters
    ----------
    size : int
        Even.
    window : np.ndarray, (synthesis,)
        By which the way back multiplies.
    """

    def __init__(self, size: int, window: np.ndarray) -> None:
        super().__init__()
        self.rows, self.columns = split(size)
        self.bins = size // 2 + self.rows
        self.synthesis = len(window)
        row, low = np.arange(self.rows), np.arange(self.rows)
        column, high = np.arange(self.columns), np.arange(self.columns // 2 + 1)
        r = np.exp(-2j * np.pi / self.rows * np.outer(row, low))
        c = np.exp(-2j * np.pi / self.columns * np.outer(high, column))
        t = np.exp(-2j * np.pi / size * np.outer(column, low))
        # times a complex factor: the sum of two products, of both parts as they are and of both exchanged
        self.over_rows = constant(np.array([[r.real, r.imag], [r.imag, r.real]]))
        self.twiddle = constant(np.array([[t.real, t.real], [-t.imag, t.imag]]))
        self.over_columns = constant(np.block([[c.real, -c.imag], [c.imag, c.real]]))
        both = np.stack([np.vstack([c.real, c.imag]), np.vstack([-c.imag, c.real])])
        self.back_over_columns = constant(both.transpose(2, 0, 1).reshape(2 * self.columns, -1))
        wanted = np.arange(size - -(-self.synthesis // self.columns) * self.columns, size)
        angle = (2 * np.pi / size * np.outer(wanted, low)).reshape(-1, self.columns, 1, self.rows)
        padded = np.concatenate([np.zeros(len(wanted) - self.synthesis), window]).reshape(-1, self.columns, 1, 1)
        last = np.concatenate([np.cos(angle), -np.sin(angle)], axis=2) * padded * (2 / size)
        self.back_over_rows = constant(last.reshape(-1, self.columns, 2 * self.rows))
        share = np.zeros(self.bins)
        share[: size // 2 + 1] = 1.0
        share[[0, size // 2]] = 0.5
        self.share = constant(share)
        """Of each bin on the way back: the lowest and the highest have no mirror image."""

    def analysed(self, frames: Tensor) -> Tensor:
        """Return the spectra (frames, 1, 2, bins) of ``frames`` (frames, size)."""
        grid = frames.reshape(-1, 1, 1, self.rows, self.columns).transpose(3, 4)
        turned = ((grid @ self.over_rows) * self.twiddle).sum(dim=1)
        spectra = self.over_columns @ turned.reshape(-1, 2 * self.columns, self.rows)
        return spectra.reshape(-1, 1, 2, self.bins)

    def synthesised(self, spectra: Tensor) -> Tensor:
        """Return the windowed ends (frames, synthesis) of the frames that have ``spectra``, 2 * bins numbers each."""
        turned = self.back_over_columns @ spectra.reshape(-1, self.columns + 2, self.rows)
        grid = turned.reshape(-1, 1, self.columns, 2 * self.rows)
        samples = (grid * self.back_over_rows).sum(dim=3)
        return samples.reshape(-1, samples.shape[1] * self.columns)[:, -self.synthesis :]
