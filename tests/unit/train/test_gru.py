import torch

from rtae.train.gru import Gru


def test_output_and_gradients_equal_those_of_torch() -> None:
    torch.manual_seed(0)
    ours = Gru(10, 7).double()
    x = torch.randn(9, 5, 10, dtype=torch.double, requires_grad=True)
    state = torch.randn(5, 7, dtype=torch.double, requires_grad=True)
    inputs = [x, state, *ours.parameters()]

    def gradients(y: torch.Tensor, last: torch.Tensor) -> list[torch.Tensor]:
        weights = torch.arange(y.numel(), dtype=y.dtype).reshape(y.shape)
        return list(torch.autograd.grad((y * weights).sum() + last.square().sum(), inputs))

    y, last = ours(x, state)
    reference, reference_last = ours.gru(x, state.unsqueeze(0))
    torch.testing.assert_close(y, reference)
    torch.testing.assert_close(last, reference_last[0])
    found, wanted = gradients(y, last), gradients(reference, reference_last[0])
    assert len(found) == 6
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other)


def test_bfloat16_products_change_the_gradient_by_less_than_two_per_cent() -> None:
    torch.manual_seed(1)
    ours = Gru(16, 16)
    x = torch.randn(40, 30, 16)

    def gradient() -> torch.Tensor:
        ours.zero_grad()
        ours(x, torch.zeros(30, 16))[0].square().mean().backward()
        return torch.cat([parameter.grad.reshape(-1) for parameter in ours.parameters()])

    exact = gradient()
    with torch.autocast("cpu", torch.bfloat16):
        coarse = gradient()
    difference = (coarse - exact).norm() / exact.norm()
    assert 0 < difference < 0.02
