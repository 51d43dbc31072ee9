"""What steers compiled modules while they run."""

from .._core import Pool
from ._weight_streaming import weight_streaming

__all__ = ["Pool", "weight_streaming"]
