import numpy as np
import pytest
import torch

from rtae.train.fourier import MatrixFourier, split


@pytest.mark.parametrize(("size", "rows", "columns"), [(2048, 32, 64), (1024, 32, 32), (96, 8, 12), (26, 1, 26)])
def test_a_transform_is_split_about_evenly_into_even_columns(size: int, rows: int, columns: int) -> None:
    assert split(size) == (rows, columns)


@pytest.mark.parametrize(("size", "synthesis"), [(2048, 384), (2048, 192), (1024, 384), (96, 40), (64, 64), (26, 10)])
def test_matrix_products_transform_there_and_back(size: int, synthesis: int) -> None:
    """Also where the window is no whole number of rows."""
    rng = np.random.default_rng(1)
    frames = rng.standard_normal((3, size)).astype(np.float32)
    window = rng.uniform(0.5, 1.5, synthesis)
    fourier = MatrixFourier(size, window)
    spectra = fourier.analysed(torch.from_numpy(frames))
    assert spectra.shape == (3, 1, 2, fourier.bins)
    wanted = np.fft.rfft(frames)
    found = spectra[:, 0, 0, : size // 2 + 1].numpy() + 1j * spectra[:, 0, 1, : size // 2 + 1].numpy()
    np.testing.assert_allclose(found, wanted, atol=1e-6 * np.abs(wanted).max(), rtol=0)
    back = fourier.synthesised(spectra * fourier.share)
    np.testing.assert_allclose(back.numpy(), frames[:, -synthesis:] * window, atol=1e-5, rtol=0)
