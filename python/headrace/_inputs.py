"""What a module is compiled for: `Input` describes a tensor, `Device` where the engine runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch


class Input:
    """A tensor input of static or dynamic shape.

    Parameters
    ----------
    shape : sequence of int, positional or by name
        A static shape. Instead of it, `min_shape`, `opt_shape` and `max_shape` give ranges; the engine is measured and
        planned at `opt_shape`.
    dtype : torch.dtype, default torch.float32

    Raises
    ------
    TypeError
        Neither `shape` nor all of the three ranges are given, or both.
    ValueError
        The ranges differ in rank, or do not rise.
    """

    def __init__(self, *args: Any, shape: Sequence[int] | None = None, min_shape: Sequence[int] | None = None,
                 opt_shape: Sequence[int] | None = None, max_shape: Sequence[int] | None = None,
                 dtype: torch.dtype = torch.float32, name: str = "") -> None:
        if args:
            if len(args) > 1 or shape is not None:
                raise TypeError("Input() takes one shape: Input((1, 3, 224, 224))")
            shape = args[0]
        ranges = (min_shape, opt_shape, max_shape)
        given = [r for r in ranges if r is not None]
        if (shape is None) == (not given) or (given and len(given) != 3):
            raise TypeError("Input() takes either shape, or all of min_shape, opt_shape and max_shape")
        self.min_shape, self.opt_shape, self.max_shape = (
            (tuple(shape),) * 3 if shape is not None else tuple(tuple(r) for r in ranges))
        self.dtype, self.name = dtype, name
        if len({len(self.min_shape), len(self.opt_shape), len(self.max_shape)}) != 1:
            raise ValueError(f"Input(): min_shape {self.min_shape}, opt_shape {self.opt_shape} and max_shape "
                             f"{self.max_shape} differ in rank")
        for axis, (low, usual, high) in enumerate(zip(self.min_shape, self.opt_shape, self.max_shape)):
            if not 0 <= low <= usual <= high:
                raise ValueError(f"Input(): axis {axis} goes {low}, {usual}, {high} from min_shape to max_shape; it must rise")

    @classmethod
    def from_tensor(cls, tensor: torch.Tensor) -> Input:
        return cls(tuple(tensor.shape), dtype=tensor.dtype)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape, or the one to optimise for."""
        return self.opt_shape

    @property
    def dynamic_axes(self) -> list[int]:
        return [i for i, (low, high) in enumerate(zip(self.min_shape, self.max_shape)) if low != high]

    def example(self) -> torch.Tensor:
        """A tensor to export with. A dynamic size is not 1: torch.export would take it for static."""
        sizes = list(self.opt_shape)
        for axis in self.dynamic_axes:
            sizes[axis] = min(max(sizes[axis], 2), self.max_shape[axis])
        if self.dtype.is_floating_point:
            return torch.rand(sizes, dtype=torch.float32, device="cpu").to(self.dtype)
        return torch.zeros(sizes, dtype=self.dtype, device="cpu")

    def __repr__(self) -> str:
        if not self.dynamic_axes:
            return f"Input(shape={self.shape}, dtype={self.dtype})"
        return (f"Input(min_shape={self.min_shape}, opt_shape={self.opt_shape}, max_shape={self.max_shape}, "
                f"dtype={self.dtype})")


class Device:
    """Where an engine runs: ``Device("cpu")``, ``Device("reference")``, ``Device(gpu_id=0)``."""

    def __init__(self, spec: str | torch.device | None = None, *, device_type: Any = None, gpu_id: int | None = None,
                 **unused: Any) -> None:
        for name in unused:
            if name not in ("dla_core", "allow_gpu_fallback"):
                raise TypeError(f"Device() got an unknown option '{name}'")
            if unused[name] not in (-1, False, None):
                raise NotImplementedError(f"Device(): {name}={unused[name]!r} is for hardware that Headrace does not know")
        if spec is None:
            kind = str(device_type).lower().split(".")[-1] if device_type is not None else None
            spec = f"cuda:{gpu_id or 0}" if kind in ("gpu", "cuda") or (kind is None and gpu_id is not None) else kind or "cpu"
        self.name = str(spec)

    def __repr__(self) -> str:
        return f"Device({self.name!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Device) and other.name == self.name

    def __hash__(self) -> int:
        return hash(self.name)


def device_name(device: Any) -> str:
    """What Headrace calls the device that a torch.device, a name, an index or a `Device` stands for.

    Raises
    ------
    TypeError
        `device` is none of these.
    """
    if isinstance(device, bool) or not isinstance(device, (Device, torch.device, str, int)):
        raise TypeError("device must be a torch.device, a string, an index or a headrace.Device, "
                        f"found {type(device).__name__}")
    name = f"cuda:{device}" if isinstance(device, int) else device.name if isinstance(device, Device) else str(device)
    kind, _, index = name.partition(":")
    return f"cuda:{index}" if kind == "gpu" and index else "cuda" if kind == "gpu" else kind if kind == "cpu" else name
