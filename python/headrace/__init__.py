"""Headrace compiles PyTorch models into engines, and runs them inside the memory you give them.

    import headrace as hr

    module = hr.compile(model, arg_inputs=[x], enable_weight_streaming=True)
    with hr.runtime.weight_streaming(module) as weights:
        weights.device_budget = weights.total_device_budget // 10
        y = module(x)

The names are torch_tensorrt's where it has them.
"""

import torch  # noqa: F401  First: so Headrace's loops run on PyTorch's OpenMP threads, not beside them.

from . import dynamo, runtime
from ._compile import compile, export
from ._core import version as _version
from ._files import load, save, verify
from ._inputs import Device, Input

__version__ = _version()
__all__ = ["Device", "Input", "compile", "dynamo", "export", "load", "runtime", "save", "verify"]
