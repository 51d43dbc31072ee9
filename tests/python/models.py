"""Models of the tests, and how their results are compared."""

from __future__ import annotations

import torch
from torch import nn


class Mlp(nn.Module):
    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(16, width), nn.Linear(width, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(torch.relu(self.first(x)))


class WideMlp(nn.Module):
    """Has weights large enough to stream."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(64, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(),
                                    nn.Linear(512, 512), nn.ReLU(),
                                    nn.Linear(512, 8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


def assert_close(got: torch.Tensor, want: torch.Tensor, tolerance: float = 2e-4) -> None:
    """Within `tolerance` of the largest element."""
    assert got.dtype == want.dtype and got.shape == want.shape
    scale = max(want.abs().max().item(), 1e-6)
    error = (got.double() - want.double()).abs().max().item() / scale
    assert error <= tolerance, f"off by {error:.2g} of the largest"
