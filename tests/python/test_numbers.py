"""Python numbers in ops on 16-bit floats: what PyTorch rounds to the tensor's dtype, and what it computes with in f32."""

import pytest
import torch
import torch.nn.functional as F

import headrace as hr

OPS = {
    "x * 1.1": lambda x, y: x * 1.1,
    "x * 257": lambda x, y: x * 257,
    "x / 1.1": lambda x, y: x / 1.1,
    "x / 3": lambda x, y: x / 3,
    "x + 0.3": lambda x, y: x + 0.3,
    "0.3 - x": lambda x, y: 0.3 - x,
    "x + 1.1 * y": lambda x, y: torch.add(x, y, alpha=1.1),
    "x - 1.1 * y": lambda x, y: torch.sub(x, y, alpha=1.1),
    "x + 1.1 * 0.3": lambda x, y: torch.add(x, 0.3, alpha=1.1),
    "0.3 - 1.1 * x": lambda x, y: torch.rsub(x, 0.3, alpha=1.1),
    "x * tensor": lambda x, y: x * torch.tensor(1.1),
    "tensor * x": lambda x, y: torch.tensor(1.1) * x,
    "x / tensor": lambda x, y: x / torch.tensor(1.1),
    "x + tensor": lambda x, y: x + torch.tensor(1.1),
    "x ** 2": lambda x, y: x**2,
    "in place": lambda x, y: x.clone().mul_(1.1),
    "x // 0.3, truncated": lambda x, y: torch.div(x, 0.3, rounding_mode="trunc"),
    "x > 0.1": lambda x, y: x > 0.1,
    "x <= 0.1": lambda x, y: x <= 0.1,
    "clamp": lambda x, y: x.clamp(-0.3, 0.7),
    "where": lambda x, y: torch.where(x > 0, x, 0.1),
    "masked_fill": lambda x, y: x.masked_fill(x > 0, 0.1),
    "remainder": lambda x, y: x.remainder(0.3),
    "addcmul": lambda x, y: torch.addcmul(x, x, y, value=0.3),
    "addcdiv": lambda x, y: torch.addcdiv(x, x, y, value=0.3),
    "leaky_relu": lambda x, y: F.leaky_relu(x, 0.1),
    "threshold": lambda x, y: F.threshold(x, 0.1, 0.3),
    "hardshrink": lambda x, y: F.hardshrink(x, 0.1),
    "softshrink": lambda x, y: F.softshrink(x, 0.1),
}
# Of functions that each library computes a little differently: hardly any element may fall on another side.
TRANSCENDENTAL = {
    "x ** 2.3": lambda x, y: x.abs() ** 2.3,
    "elu": lambda x, y: F.elu(x, 1.3),
    "glu": lambda x, y: F.glu(x),
}
# Of several steps: the reference rounds each as PyTorch does; a chain that is fused rounds its result alone.
CHAINS = {
    "x ** 3": lambda x, y: x**3,
    "x ** -2": lambda x, y: x**-2,
    "1.1 / x": lambda x, y: 1.1 / x,
    "(x + 0.1) * 1.1": lambda x, y: (x + 0.1) * 1.1,
}


class All(torch.nn.Module):
    def __init__(self, ops) -> None:
        super().__init__()
        self.ops = list(ops.values())

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(op(x, y) for op in self.ops)


def check(ops, dtype: torch.dtype, device: str, allowed: float = 0) -> None:
    x, y = torch.randn(16, 160).to(dtype), torch.randn(16, 160).to(dtype)
    x[0, :8] = torch.tensor(0.1).to(dtype)
    model = All(ops)
    module = hr.compile(model, arg_inputs=[x, y], device=device)
    for name, got, want in zip(ops, module(x, y), model(x, y)):
        assert got.dtype == want.dtype, name
        different = (got != want).double().mean().item()
        assert different <= allowed, f"{name}: {different:.1%} of the elements differ"


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_numbers_meet_16_bit_floats_as_in_pytorch(device, dtype):
    check(OPS, dtype, device)
    check(TRANSCENDENTAL, dtype, device, allowed=0.01)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_the_reference_rounds_every_step_as_pytorch_does(dtype):
    check(CHAINS, dtype, "reference")
