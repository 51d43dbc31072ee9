import functools
import sys
from pathlib import Path

import pytest

import headrace as hr

import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "models"))  # the zoo


@functools.cache
def has_cpu() -> bool:
    """Whether this build has the cpu back end."""
    try:
        hr.compile(torch.nn.Linear(2, 2).eval(), arg_inputs=[torch.zeros(1, 2)], device="cpu")
    except ValueError as error:
        assert "there is no device 'cpu'" in str(error)
        return False
    return True


@pytest.fixture(params=["reference", "cpu"])
def device(request: pytest.FixtureRequest) -> str:
    if request.param == "cpu" and not has_cpu():
        pytest.skip("this build has no cpu back end")
    return request.param


@pytest.fixture
def cpu() -> str:
    if not has_cpu():
        pytest.skip("this build has no cpu back end")
    return "cpu"


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(20)
