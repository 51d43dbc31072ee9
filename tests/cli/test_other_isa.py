"""Engines of another instruction set: read here, and packed again from their archive."""

import os
import shutil
import signal
import subprocess
import time

import numpy as np
import pytest
import torch
from conftest import FIXTURES, VERSIONS, run_on_disk
from torch import nn

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


@pytest.fixture
def made_elsewhere(tool, wide, other_isa):
    """wide.engine, of another instruction set, and the bytes of one compiled here; no archive beside it."""
    tool.ok("compile", wide[0], "-o", "fresh.engine")
    fresh = (tool.folder / "fresh.engine").read_bytes()
    (tool.folder / "fresh.engine").unlink()
    tool.ok("compile", wide[0], "-o", "wide.engine", env=other_isa)
    assert (tool.folder / "wide.engine").read_bytes() != fresh
    return tool.folder / "wide.engine", fresh


def names(tool):
    return sorted(path.name for path in tool.folder.iterdir())


def test_the_archive_beside_an_engine_packs_it_again(tool, wide, made_elsewhere):
    engine, fresh = made_elsewhere
    was_for = tool.json("inspect", engine)["fingerprint"]
    shutil.copy(wide[0], tool.folder / "wide.pt2")
    np.savez(tool.folder / "x.npz", input=wide[1])
    arguments = ["run", "wide.engine", "--inputs", "x.npz", "--outputs", "y.npz", "--weight-budget", "0"]
    done = tool.run(*arguments)
    assert done.returncode == 0, done.stderr
    assert done.stderr == f"note: wide.engine was made for {was_for}; packing its weights again for this machine\n"
    assert engine.read_bytes() == fresh
    (got,) = np.load(tool.folder / "y.npz").values()
    np.testing.assert_allclose(got, wide[2], atol=1e-5)
    assert tool.run(*arguments).stderr == ""  # once is enough
    assert names(tool) == ["wide.engine", "wide.pt2", "x.npz", "y.npz"]


def test_the_archive_may_be_named(tool, wide, made_elsewhere):
    engine, fresh = made_elsewhere
    (tool.folder / "wide.pt2").write_text("not looked at")
    rows = tool.json("bench", engine, "--model", wide[0], "--repeat", "1", "--no-plot")["rows"]
    assert rows and engine.read_bytes() == fresh
    tool.ok("run", engine, "--random", "0", "--model", "not looked at, either")  # it is for this machine now


def test_an_engine_without_its_archive_says_what_was_looked_for_and_what_to_do(tool, made_elsewhere):
    engine, _ = made_elsewhere
    old = engine.read_bytes()
    was_for = tool.json("inspect", engine)["fingerprint"]
    tool.ok("compile", MLP, "-o", "probe.engine")
    here = tool.json("inspect", "probe.engine")["fingerprint"]
    for options, path in [((), "wide.pt2"), (("--model", "gone.pt2"), "gone.pt2")]:
        assert tool.error(4, "run", "wide.engine", "--random", "0", *options) == (
            f"error: engine 'wide.engine' was made for '{was_for}', and this is '{here}'; its weights cannot be packed "
            f"again from '{path}': there is no such file\n"
            "compile the model again here, or name the archive that the engine was compiled from (--model, or `model` "
            "when opening it)\n")
    assert engine.read_bytes() == old


def test_an_archive_of_other_weights_is_refused(tool, wide, made_elsewhere):
    engine, _ = made_elsewhere
    old = engine.read_bytes()
    program = torch.export.load(wide[0])
    with torch.no_grad():
        program.state_dict["4.weight"][3, 5] += 1
    torch.export.save(program, tool.folder / "wide.pt2")
    message = tool.error(4, "run", "wide.engine", "--random", "0")
    assert "from 'wide.pt2': it is another model: its 'data/weights/weight_4' (4.weight) has 262144 bytes" in message
    assert engine.read_bytes() == old


@pytest.mark.parametrize("junk", [b"", b"PK no zip"])
def test_a_damaged_archive_is_refused(tool, made_elsewhere, junk):
    (tool.folder / "wide.pt2").write_bytes(junk)
    assert "cannot be packed again from 'wide.pt2': archive 'wide.pt2': it" in tool.error(4, "run", "wide.engine", "--random", "0")


def test_a_folder_that_cannot_be_written_keeps_the_engine(tool, wide, made_elsewhere):
    prepare = f"mount -t tmpfs tmpfs small && cp wide.engine small && cp {wide[0]} small && mount -o remount,ro small"
    done = run_on_disk(tool, prepare, "run", "small/wide.engine", "--random", "0")
    assert done.returncode == 4, done.stderr
    assert "Read-only file system" in done.stderr and "or copy the engine and its archive to another folder" in done.stderr
    assert "compile the model again here" in done.stderr and done.stdout == "wide.engine\nwide.pt2\n"


def test_a_full_disk_keeps_the_engine(tool, wide, made_elsewhere):
    engine, _ = made_elsewhere
    small = engine.stat().st_size + (256 << 10)
    prepare = f"mount -t tmpfs -o size={small} tmpfs small && cp wide.engine small"
    run = [tool.binary, "run", "small/wide.engine", "--random", "0", "--model", wide[0]]
    tool.binary = "sh"
    done = run_on_disk(tool, prepare, "-c", '"$@"; code=$?; cmp wide.engine small/wide.engine; exit $code', "sh", *run)
    assert done.returncode == 5 and "the disk has only" in done.stderr, done.stderr
    assert "pack the weights of 'small/wide.engine' again from" in done.stderr and done.stdout == "wide.engine\n"


def test_a_process_killed_while_it_packs_leaves_the_old_engine_or_the_new(tool, wide, made_elsewhere):
    engine, fresh = made_elsewhere
    old, ended = engine.read_bytes(), set()
    for wait_ms in range(0, 60, 3):
        engine.write_bytes(old)
        command = [tool.binary, "run", engine, "--random", "0", "--model", wide[0]]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(wait_ms / 1000)
        process.send_signal(signal.SIGKILL)
        process.wait()
        ended.add(engine.read_bytes())
        assert ended <= {old, fresh}
    assert old in ended and names(tool) == ["wide.engine"]


def test_processes_that_come_at_once_all_get_the_engine(tool, wide, made_elsewhere):
    engine, fresh = made_elsewhere
    command = [tool.binary, "run", engine, "--random", "0", "--model", wide[0]]
    at_once = [subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    for process in at_once:
        said = process.communicate(timeout=120)[1]
        assert process.returncode == 0, said
    assert engine.read_bytes() == fresh


def test_a_link_to_an_engine_stays_a_link(tool, wide, made_elsewhere):
    engine, fresh = made_elsewhere
    (tool.folder / "store").mkdir()
    kept = engine.rename(tool.folder / "store" / "wide.engine")
    engine.symlink_to(kept)
    tool.ok("run", engine, "--random", "0", "--model", wide[0])
    assert engine.is_symlink() and kept.read_bytes() == fresh


def test_convolutions_and_short_floats_are_packed_again(tool, other_isa):
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 24, 3, padding=1), nn.BatchNorm2d(24), nn.ReLU(), nn.Conv2d(24, 40, 3, groups=4),
              nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(40, 70), nn.GELU(), nn.Linear(70, 33)]
    torch.export.save(torch.export.export(nn.Sequential(*layers).eval(), (torch.randn(2, 3, 20, 20),)), tool.folder / "net.pt2")
    for precision in ["fp32", "bf16", "fp16"]:
        tool.ok("compile", "net.pt2", "-o", "fresh.engine", "--precision", precision)
        tool.ok("compile", "net.pt2", "-o", "net.engine", "--precision", precision, env=other_isa)
        tool.ok("run", "net.engine", "--random", "0")
        assert (tool.folder / "net.engine").read_bytes() == (tool.folder / "fresh.engine").read_bytes(), precision
