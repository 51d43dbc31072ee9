"""Engines of another instruction set: read here, and packed again from their archive."""

import os

import pytest
from conftest import FIXTURES, VERSIONS

MLP = FIXTURES / VERSIONS[-1] / "mlp_dynamic.pt2"


@pytest.fixture(autouse=True)
def _needs_cpu(devices):
    if "cpu" not in devices:
        pytest.skip("this build has no cpu back end")


@pytest.fixture
def other_isa(tool):
    """An environment in which oneDNN takes this machine for an older one."""
    tool.ok("compile", MLP, "-o", "probe.engine")
    here = tool.json("inspect", "probe.engine")["fingerprint"].split()[1]
    (tool.folder / "probe.engine").unlink()
    return {**os.environ, "ONEDNN_MAX_CPU_ISA": "SSE41" if here == "avx2" else "AVX2"}


def test_inspect_reads_an_engine_of_another_isa(tool, other_isa):
    tool.ok("compile", MLP, "-o", "other.engine", env=other_isa)
    seen = tool.json("inspect", "other.engine", "--plan", "--graph", "--weights")
    isa = "avx2" if other_isa["ONEDNN_MAX_CPU_ISA"] == "AVX2" else "sse41"
    assert seen["backend"] == "cpu" and seen["fingerprint"].startswith(f"cpu {isa} onednn ")
    assert seen["inputs"] == [{"name": "x", "is_tensor": True, "dtype": "f32", "shape": ["s77", "8"]}]
    assert "matmul" in seen["plan"] and "matmul" in seen["graph"] and "first.weight" in seen["weights"]
    assert f"for {seen['fingerprint']}, " in tool.ok("inspect", "other.engine").splitlines()[0]
