from collections.abc import Iterator

import pytest
import torch

from rtae.train.precision import half_precision, product_dtype


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    product_dtype.cache_clear()
    yield
    product_dtype.cache_clear()


@pytest.mark.parametrize(("computes_in_it", "dtype"), [(True, torch.bfloat16), (False, torch.float32)])
def test_a_processor_is_asked_whether_it_computes_in_bfloat16(
    computes_in_it: bool, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: computes_in_it)
    assert product_dtype("cpu") == dtype
    for wanted in (True, False):
        with half_precision(torch.device("cpu"), wanted):
            product = torch.ones(2, 2) @ torch.ones(2, 2)
        assert product.dtype == (dtype if wanted else torch.float32)


def test_a_graphics_processor_computes_in_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: False)
    assert product_dtype("cuda") == torch.bfloat16
