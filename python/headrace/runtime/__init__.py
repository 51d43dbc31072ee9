"""What steers compiled modules while they run."""

from ._weight_streaming import weight_streaming

__all__ = ["weight_streaming"]
