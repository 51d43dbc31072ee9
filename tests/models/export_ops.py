"""Export one small model per op, as export_models.py exports whole ones; check_models.py runs them.

    python tests/models/export_ops.py OUT [--only TEXT]

Each case is a function of tensors, given as text, with its inputs. It is exported raw, the first dim of its first input
dynamic, and decomposed with fixed sizes. Cases that PyTorch cannot export in a way are listed in OUT/skipped.txt.
"""

from __future__ import annotations

import argparse
import json
import warnings
from pathlib import Path
from typing import Any, Callable

import torch
import torch.nn.functional as F
from export_models import decompose, save_arrays, write_cases
from torch.export import Dim

Tensors = tuple[torch.Tensor, ...]


def f(*shape: int) -> torch.Tensor:
    return torch.randn(*shape)


def positive(*shape: int) -> torch.Tensor:
    return torch.rand(*shape) + 0.5


def unit(*shape: int) -> torch.Tensor:
    return torch.rand(*shape) * 1.8 - 0.9


def i(*shape: int, low: int = -5, high: int = 6) -> torch.Tensor:
    return torch.randint(low, high, shape)


def b(*shape: int) -> torch.Tensor:
    return torch.rand(*shape) > 0.5


# A dynamic size makes these other ops than the ones that are supported; the core form of one_hot asserts on values.
STATIC_ONLY = ("x_as_strided", "torch_index_put")
RAW_ONLY = ("F_one_hot",)

CASES: dict[str, tuple[Callable[..., Any], Tensors]] = {}


def case(text: str, *inputs: torch.Tensor) -> None:
    """A case whose function is the text itself, of x, y, z."""
    function = eval(f"lambda x, y=None, z=None: {text}", {"torch": torch, "F": F, "inf": float("inf")})
    name = "".join(c if c.isalnum() else "_" for c in text).strip("_")[:60]
    dtypes = "_".join(str(t.dtype).removeprefix("torch.") for t in inputs)
    key = f"{name}.{dtypes}"
    while key in CASES:
        key += "_"
    CASES[key] = (function, inputs)


def unary_cases() -> None:
    for name in ("neg abs sign sgn square exp exp2 expm1 sin cos tan tanh sinh cosh erf erfc sigmoid floor ceil round trunc "
                 "frac atan isnan isinf isfinite nan_to_num logical_not").split():
        case(f"torch.{name}(x)", f(3, 5) * 2)
    for name in "log log1p log2 log10 sqrt rsqrt reciprocal".split():
        case(f"torch.{name}(x)", positive(3, 5))
    for name in "asin acos".split():
        case(f"torch.{name}(x)", unit(3, 5))
    for name in "neg abs sign floor ceil exp sqrt sigmoid tanh logical_not bitwise_not isnan isfinite square".split():
        case(f"torch.{name}(x)", i(3, 5, low=0))
    for name in "gelu silu mish relu relu6 hardswish hardsigmoid softplus elu celu selu leaky_relu logsigmoid softsign".split():
        case(f"F.{name}(x)", f(3, 5) * 4)
    for name in "gelu silu softplus exp2 logsigmoid selu erfc".split():
        case(f"{'torch' if name in ('exp2', 'erfc') else 'F'}.{name}(x)", (f(3, 5) * 4).bfloat16())
    for text in ("F.gelu(x, approximate='tanh')", "F.elu(x, 0.7)", "F.celu(x, 0.7)", "F.softplus(x, beta=2, threshold=3)",
                 "F.leaky_relu(x, 0.2)", "F.hardtanh(x, -0.5, 1.5)", "F.hardshrink(x, 0.3)", "F.softshrink(x, 0.3)",
                 "F.threshold(x, 0.1, 20.0)", "F.glu(x, 1)", "x.clamp(-0.5, 0.5)", "x.clamp(min=0.1)", "x.clamp(max=0.1)",
                 "x.clamp_min(0.2)", "torch.nan_to_num(x, nan=1.0, posinf=2.0, neginf=-2.0)", "F.dropout(x, 0.5, False)"):
        case(text, f(3, 6) * 2)
    case("F.prelu(x, y)", f(2, 3, 4), f(3))
    case("F.prelu(x, y)", f(2, 3, 4), f(1))
    case("torch.nan_to_num(x)", torch.tensor([1.0, float("nan"), float("inf"), -float("inf")]))
    case("torch.isinf(x)", torch.tensor([1.0, float("nan"), float("inf"), -float("inf")]))


def binary_cases() -> None:
    for text in ("x + y", "x - y", "x * y", "x / y", "torch.add(x, y, alpha=2)", "torch.sub(x, y, alpha=0.5)",
                 "torch.rsub(x, y)", "torch.maximum(x, y)", "torch.minimum(x, y)", "torch.fmod(x, y)", "torch.remainder(x, y)",
                 "torch.atan2(x, y)", "x == y", "x != y", "x < y", "x <= y", "x > y", "x >= y", "torch.where(x > y, x, y)",
                 "torch.logical_and(x, y)", "torch.floor_divide(x, y)", "torch.div(x, y, rounding_mode='trunc')",
                 "torch.div(x, y, rounding_mode='floor')", "torch.lerp(x, y, 0.3)", "x.clamp(min=y)", "torch.xlogy(x, y.abs())"):
        case(text, f(3, 1, 5), f(4, 5))
    for text in ("x + y", "x * y", "x / y", "x - y", "x > y", "torch.maximum(x, y)"):
        case(text, i(3, 4), f(4))
        case(text, f(3, 4).bfloat16(), f(4))
        case(text, f(3, 4), torch.tensor(3))
        case(text, i(3, 4), torch.tensor(2.5))
        case(text, f(3, 4).bfloat16(), torch.tensor(2.5))
        case(text, i(3, 4).int(), i(4))
        case(text, i(3, 4).to(torch.uint8), i(4).to(torch.int8) + 1)
    for text in ("x + 2", "x + 2.5", "2 - x", "x * 0.5", "x / 2", "x // 2", "x % 3", "x ** 2", "x ** 3", "x ** 0.5", "2 ** x", "x > 1",
                 "x == 1", "x + True", "1.5 / x", "x // 1.5"):
        case(text, i(3, 4, low=1))
        case(text, positive(3, 4))
    case("x ** y", positive(3, 4), f(4))
    for text in ("x // y", "x % y", "torch.fmod(x, y)", "torch.div(x, y, rounding_mode='trunc')"):
        case(text, i(3, 4), torch.tensor([2, -3, 4, -5]))
    for text in ("x & y", "x | y", "x ^ y"):
        case(text, b(3, 4), b(4))
        case(text, i(3, 4), i(4))
    case("x << y", i(3, 4, low=0), i(4, low=0))
    case("x >> y", i(3, 4), i(4, low=0))
    case("x + y", b(3, 4), b(4))
    case("x * y", b(3, 4), b(4))
    case("x.masked_fill(y, -inf)", f(3, 4), b(3, 4))
    case("x.masked_fill(y, 7)", i(3, 4), b(4))
    case("torch.where(y, x, 0.5)", f(3, 4), b(3, 4))
    case("torch.where(y, 1.0, 0.0)", f(3, 4), b(3, 4))
    case("torch.where(x, y, z)", b(3, 4), i(4), f(3, 1))
    case("torch.addcmul(x, y, z, value=0.3)", f(3, 4), f(3, 4), f(4))
    case("torch.addcdiv(x, y, z, value=0.3)", f(3, 4), f(3, 4), positive(4))


def matmul_cases() -> None:
    for x, y in (((3, 4), (4, 5)), ((2, 3, 4), (2, 4, 5)), ((2, 1, 3, 4), (5, 4, 6)), ((4,), (4,)), ((3, 4), (4,)), ((4,), (4, 5)),
                 ((2, 3, 4), (4,)), ((4,), (2, 4, 5)), ((2, 3, 4), (4, 5))):
        case("torch.matmul(x, y)", f(*x), f(*y))
    case("F.linear(x, y, z)", f(2, 3, 4), f(5, 4), f(5))
    case("F.linear(x, y)", f(4), f(5, 4))
    case("torch.addmm(x, y, z)", f(5), f(3, 4), f(4, 5))
    case("torch.addmm(x, y, z)", f(3, 5), f(3, 4), f(4, 5))
    case("torch.addmm(x, y, z)", f(3, 1), f(3, 4), f(4, 5))
    case("torch.addmm(x, y, z, beta=0.5, alpha=2)", f(5), f(3, 4), f(4, 5))
    case("torch.addmm(x, y, z, beta=0)", f(5) * float("nan"), f(3, 4), f(4, 5))
    case("torch.baddbmm(x, y, z)", f(2, 3, 5), f(2, 3, 4), f(2, 4, 5))
    case("torch.mv(x, y)", f(3, 4), f(4))
    case("torch.outer(x, y)", f(3), f(4))
    case("torch.einsum('bij,bjk->bik', x, y)", f(2, 3, 4), f(2, 4, 5))
    case("torch.einsum('bhid,bhjd->bhij', x, y)", f(2, 3, 4, 5), f(2, 3, 6, 5))
    case("torch.einsum('nchw,nk->knc', x, y)", f(2, 3, 4, 5), f(2, 6))
    case("torch.einsum('ij,jk,kl->il', x, y, z)", f(2, 3), f(3, 4), f(4, 5))
    case("torch.einsum('i,j', x, y)", f(3), f(4))
    case("torch.einsum('ij->ji', x)", f(3, 4))
    case("torch.einsum('ij->', x)", f(3, 4))
    case("torch.softmax(x, 1)", f(3, 4, 5))
    case("torch.softmax(x, -1, dtype=torch.float32)", f(3, 4).bfloat16())
    case("torch.log_softmax(x, 0)", f(3, 4))
    q, k, v = f(2, 4, 5, 8), f(2, 4, 7, 8), f(2, 4, 7, 8)
    for extra in ("", ", is_causal=True", ", scale=0.3"):
        case(f"F.scaled_dot_product_attention(x, y, z{extra})", q, k, v)
    case("F.scaled_dot_product_attention(x, y, y, attn_mask=z)", q, k, b(2, 1, 5, 7))
    case("F.scaled_dot_product_attention(x, y, y, attn_mask=z)", q, k, f(5, 7))
    case("F.scaled_dot_product_attention(x, y, z, enable_gqa=True)", q, f(2, 2, 7, 8), f(2, 2, 7, 8))
    case("F.scaled_dot_product_attention(x, y, z)", f(2, 5, 8), f(2, 7, 8), f(2, 7, 8))
    case("F.scaled_dot_product_attention(x, y, z)", f(5, 8), f(7, 8), f(7, 8))
    case("F.scaled_dot_product_attention(x, y, z)", q, f(1, 4, 7, 8), f(1, 4, 7, 8))


def window_cases() -> None:
    case("F.conv1d(x, y, z, stride=2, padding=1)", f(2, 3, 9), f(4, 3, 3), f(4))
    case("F.conv1d(x, y, padding='same', dilation=2)", f(2, 3, 9), f(4, 3, 4))
    case("F.conv2d(x, y, z, stride=(2, 1), padding=(1, 2), dilation=(1, 2))", f(2, 3, 9, 8), f(4, 3, 3, 3), f(4))
    case("F.conv2d(x, y, groups=3, padding=1)", f(2, 3, 6, 6), f(6, 1, 3, 3))
    case("F.conv2d(x, y)", f(3, 6, 6), f(4, 3, 3, 3))
    case("F.conv2d(x, y, padding='same')", f(2, 3, 6, 6), f(4, 3, 2, 3))
    case("F.conv2d(x, y, padding='valid')", f(2, 3, 6, 6), f(4, 3, 2, 3))
    case("F.conv3d(x, y, padding=1)", f(1, 2, 4, 5, 6), f(3, 2, 3, 3, 3))
    case("F.conv_transpose1d(x, y, z, stride=2, padding=1)", f(2, 3, 5), f(3, 4, 3), f(4))
    case("F.conv_transpose2d(x, y, stride=2, padding=1, output_padding=1)", f(2, 4, 5, 6), f(4, 3, 3, 3))
    case("F.conv_transpose2d(x, y, groups=2)", f(2, 4, 5, 6), f(4, 3, 3, 3))
    for name in ("max_pool", "avg_pool"):
        case(f"F.{name}1d(x, 3, 2, 1)", f(2, 3, 9))
        case(f"F.{name}2d(x, 3, 2, 1)", f(2, 3, 9, 8))
        case(f"F.{name}2d(x, 3, 2, ceil_mode=True)", f(2, 3, 8, 9))
        case(f"F.{name}2d(x, (2, 3))", f(3, 8, 9))
        case(f"F.{name}3d(x, 2)", f(1, 2, 4, 4, 6))
    case("F.max_pool2d(x, 3, 1, dilation=2)", f(2, 3, 9, 8))
    case("F.avg_pool2d(x, 3, 2, 1, count_include_pad=False)", f(2, 3, 9, 8))
    case("F.avg_pool2d(x, 3, 2, 1, divisor_override=4)", f(2, 3, 9, 8))
    case("F.adaptive_avg_pool1d(x, 4)", f(2, 3, 9))
    case("F.adaptive_avg_pool2d(x, (3, 4))", f(2, 3, 9, 8))
    case("F.adaptive_avg_pool2d(x, 1)", f(2, 3, 9, 8))
    case("F.adaptive_avg_pool3d(x, 2)", f(1, 3, 4, 5, 6))
    case("F.adaptive_max_pool2d(x, (3, 4))", f(2, 3, 9, 8))
    for text in ("F.interpolate(x, scale_factor=2)", "F.interpolate(x, size=(5, 9))", "F.interpolate(x, size=(5, 9), mode='nearest-exact')",
                 "F.interpolate(x, size=(5, 9), mode='bilinear')", "F.interpolate(x, size=(9, 4), mode='bilinear', align_corners=True)",
                 "F.interpolate(x, scale_factor=2.5, mode='bilinear')", "F.interpolate(x, size=(9, 11), mode='bicubic')",
                 "F.interpolate(x, scale_factor=1.7)"):
        case(text, f(2, 3, 4, 6))
    case("F.interpolate(x, size=7, mode='linear')", f(2, 3, 4))
    case("F.interpolate(x, size=(3, 4, 5), mode='trilinear')", f(1, 2, 4, 3, 2))
    for mode in ("constant", "reflect", "replicate", "circular"):
        case(f"F.pad(x, (1, 2, 2, 1), mode='{mode}')", f(2, 3, 4, 5))
    case("F.pad(x, (1, -1, 0, 2), value=0.5)", f(2, 4, 5))
    case("F.pixel_shuffle(x, 2)", f(2, 8, 3, 4))
    case("F.pixel_unshuffle(x, 2)", f(2, 3, 4, 6))
    case("F.channel_shuffle(x, 3)", f(2, 6, 3, 4))


def norm_cases() -> None:
    case("F.layer_norm(x, (4, 5), y, z)", f(3, 4, 5), f(4, 5), f(4, 5))
    case("F.layer_norm(x, (5,))", f(3, 4, 5))
    case("F.layer_norm(x, (5,), eps=0.1)", f(3, 4, 5).bfloat16())
    case("F.rms_norm(x, (5,), y)", f(3, 5), f(5))
    case("F.rms_norm(x, (5,))", f(3, 5).bfloat16() * 0.001)
    case("F.rms_norm(x, (5,), eps=0.1)", f(3, 5))
    case("F.group_norm(x, 2, y, z)", f(2, 4, 5), f(4), f(4))
    case("F.instance_norm(x)", f(2, 3, 4, 5))
    case("torch._weight_norm(x, y, 0)", f(3, 4, 5), f(3, 1, 1))
    case("torch._weight_norm(x, y, 2)", f(3, 4, 5), f(1, 1, 5))
    case("F.batch_norm(x, y, z)", f(2, 3, 4), f(3), positive(3))


def reduce_cases() -> None:
    for text in ("x.sum()", "x.sum(1)", "x.sum((0, 2), keepdim=True)", "x.mean()", "x.mean((-1, -2))", "x.prod()", "x.prod(1)", "x.amax(1)",
                 "x.amin((0, 1))", "x.max()", "x.min()", "x.max(1)[0]", "x.max(-1)", "x.min(0, keepdim=True)", "x.argmax()", "x.argmax(1)",
                 "x.argmin(2, keepdim=True)", "x.var()", "x.var(1)", "x.var((0, 2), unbiased=False)", "x.std(1)", "torch.var_mean(x, 1)",
                 "torch.std_mean(x, (0, 1), correction=0)", "x.norm()", "torch.linalg.vector_norm(x, 1, 1)",
                 "torch.linalg.vector_norm(x, inf)", "torch.linalg.vector_norm(x, 3, (0, 1), keepdim=True)", "torch.logsumexp(x, 1)",
                 "x.cumsum(1)", "x.diff()", "x.diff(n=2, dim=1)", "(x > 0).any()", "(x > 0).any(1)", "(x > 0).all(0, keepdim=True)",
                 "(x > 0).sum()", "(x > 0).cumsum(1)", "x.sum(dtype=torch.float64)", "F.normalize(x, dim=1)", "x.sum(())"):
        case(text, f(3, 4, 5))
    for text in ("x.sum(1)", "x.prod()", "x.max(1)", "x.cumsum(0)", "x.mean(dtype=torch.float32)", "x.any(1)", "x.argmax(0)"):
        case(text, i(3, 4))
    case("x.sum(-1)", f(3, 400).bfloat16())
    case("x.any(1)", i(3, 4).to(torch.uint8))


def shape_cases() -> None:
    for text in ("x.view(6, -1)", "x.reshape(-1)", "x.flatten(1)", "x.unflatten(2, (2, 2))", "x.permute(2, 0, 1)", "x.transpose(0, -1)",
                 "x.mT", "x.unsqueeze(1)", "x[:, None]", "x.unsqueeze(0).squeeze()", "x.unsqueeze(1).squeeze(1)",
                 "x.unsqueeze(1).expand(2, 5, 3, 4)", "x.expand(5, -1, -1, -1)", "x.movedim(0, 2)", "torch.movedim(x, (0, 1), (2, 0))",
                 "x.swapaxes(0, 1)", "x[0]", "x[:, -1]", "x[..., 1:]", "x[:, ::2]", "x[:, 1:-1]", "x[:, 5:]", "x[-3:, :2]",
                 "x.narrow(1, 1, 2)", "x.split(2, 1)", "x.split([1, 2], 1)", "x.chunk(3, 2)", "x.unbind(1)", "torch.tensor_split(x, 3, 1)",
                 "torch.cat([x, x], 1)", "torch.cat([x, x.int()], -1)", "torch.stack([x, x * 2], 1)", "torch.stack([x, x], -1)",
                 "x.repeat(2, 1, 3)", "x.repeat(2, 1, 1, 1)", "x.tile(2)", "x.repeat_interleave(3, 1)", "x.flip(1)", "x.flip(0, 2)",
                 "x.roll(1, 1)", "x.roll((1, -2), (0, 2))", "x.roll(3)", "x.tril()", "x.triu(1)", "x.tril(-1)", "x.diagonal(0, 1, 2)",
                 "x.diagonal(1)", "torch.meshgrid(x[0, 0], x[0, :, 0], indexing='ij')", "torch.meshgrid(x[0, 0], x[0, :, 0], indexing='xy')",
                 "x.contiguous()", "x.clone()", "x.detach()", "x.to(torch.float64)", "x.half()", "x.bool()", "x.int()", "x.type_as(x.int())",
                 "torch.slice_scatter(x, x[:, :1], 1, 1, 2)", "torch.select_scatter(x, x[:, 0], 1, 2)", "x.as_strided((6, 4), (4, 1))",
                 "torch.zeros_like(x)", "torch.ones_like(x, dtype=torch.int64)", "torch.full_like(x, 2.5)", "x.new_zeros(3, 2)",
                 "x.new_full((2,), 7)", "torch.arange(x.shape[2]) + x", "torch.arange(1, 9, 2) * 1", "torch.arange(0, 1, 0.25) + 0",
                 "torch.linspace(0, 1, 4) + x", "torch.eye(4)", "torch.tril_indices(3, 3)", "torch.full((2, 3), -inf)",
                 "torch.full((2, 2), 1 << 60)", "torch.zeros(3, dtype=torch.int32)", "torch.tensor(3.5) * x", "torch.tensor([1, 2, 3, 4]) * x"):
        case(text, f(2, 3, 4))
    for text in ("x[y]", "x[:, y]", "x.index_select(0, y)", "x[y, y]", "x[:, y, y]", "x[y, :, y]", "x.index_select(1, y)",
                 "x.unsqueeze(0)[:, y]", "F.embedding(y, x[0])", "F.one_hot(y, 3)"):
        case(text, f(3, 3, 4), torch.tensor([2, 0, 1, 1]) % 3)
    case("x[y[:, None], z[None]]", f(3, 4), torch.tensor([2, 0]), torch.tensor([3, 1, -1]))
    case("x[:, y[:, None], z[None]]", f(2, 3, 4), torch.tensor([2, 0]), torch.tensor([3, 1, -1]))
    case("x.gather(1, y)", f(3, 4), i(3, 2, low=0, high=4))
    case("torch.take_along_dim(x, y, 1)", f(3, 4), i(1, 2, low=0, high=4))
    case("torch.index_put(x, (y,), torch.tensor(0.5))", f(3, 4), b(3, 4))
    # In place, in the raw form.
    for text in ("(x + 1).add_(x)", "(x + 1).mul_(2).relu_()", "(x * 1).clamp_(0, 1)", "x.clone().fill_(2)", "x.clone().zero_()",
                 "x.clone().copy_(x[:1])", "(x + 0).masked_fill_(x > 0, 5)", "x.clone().sigmoid_()", "x.clone().pow_(2)",
                 "F.relu(x + 1, inplace=True) + 1", "(x + 0).view(-1).add_(1)", "x.clone().add_(1) + x"):
        case(text, f(2, 3, 4))


class Case(torch.nn.Module):
    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *inputs: torch.Tensor) -> Any:
        return self.function(*inputs)


def as_keywords(inputs: Tensors) -> dict[str, torch.Tensor]:
    return {f"inputs_{n}": t for n, t in enumerate(inputs)}


class Named(torch.nn.Module):
    """Takes the inputs by the names that Headrace gives them."""

    def __init__(self, module: torch.nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, **inputs: torch.Tensor) -> Any:
        return self.module(*(t.clone() for t in inputs.values()))


def export_case(out: Path, name: str, form: str, dynamic: bool) -> dict:
    function, inputs = CASES[name]
    module = Case(function).eval()
    shapes = ({0: Dim("n", min=1, max=64)},) + (None,) * (len(inputs) - 1) if dynamic else None
    program = torch.export.export(module, inputs, dynamic_shapes=(shapes,) if shapes else None)
    stem = f"{name}.{'dynamic' if dynamic else 'static'}"
    archive = f"{stem}.{form}.pt2"
    torch.export.save(decompose(program, form), out / archive)
    cases = write_cases(out, stem, Named(module), [as_keywords(inputs)])
    has_bf16 = any(t.dtype == torch.bfloat16 for t in inputs)
    return {"archive": archive, "model": name, "form": form, "shapes": "dynamic" if dynamic else "static",
            "dtype": "bf16" if has_bf16 else "f32", "cases": cases}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--only", default="", help="cases whose name has this text")
    parser.add_argument("--all", action="store_true", help="raw and core, each static and dynamic, for every case")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.manual_seed(20)
    for make in (unary_cases, binary_cases, matmul_cases, window_cases, norm_cases, reduce_cases, shape_cases):
        make()
    options.out.mkdir(parents=True, exist_ok=True)
    entries, skipped = [], []
    for name in CASES:
        if options.only not in name:
            continue
        ways = [("raw", True), ("core", False)] + ([("raw", False), ("core", True)] if options.all else [])
        for form, dynamic in ways:
            if form == "core" and name.startswith(RAW_ONLY):
                continue
            dynamic = dynamic and not name.startswith(STATIC_ONLY)
            # PyTorch fixes some sizes: then the case is exported with all of them fixed.
            for attempt in (True, False) if dynamic else (False,):
                try:
                    entries.append(export_case(options.out, name, form, attempt))
                    break
                except Exception as error:
                    skipped.append(f"{name} {form} dynamic={attempt}: {str(error).splitlines()[0][:100]}")
    (options.out / "index.json").write_text(json.dumps(entries, indent=1))
    print(f"{len(entries)} archives, {len(skipped)} not exportable")
    (options.out / "skipped.txt").write_text("\n".join(skipped))


if __name__ == "__main__":
    main()
