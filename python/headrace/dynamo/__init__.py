"""torch_tensorrt's way to compile exported programs."""

from .._compile import dynamo_compile as compile

__all__ = ["compile"]
