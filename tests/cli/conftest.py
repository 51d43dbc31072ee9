"""What the command line tests share: the binary, the fixtures, and a model whose weights stream."""

import functools
import json
import os
import pathlib
import subprocess

import pytest
import torch
from torch import nn

ROOT = pathlib.Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "tests" / "fixtures" / "pt2"
VERSIONS = sorted(folder.name for folder in FIXTURES.iterdir())


def find_binary():
    named = os.environ.get("HEADRACE_CLI")
    if named:
        return pathlib.Path(named).resolve()
    built = sorted(ROOT.glob("build/*/bin/headrace"), key=lambda path: path.stat().st_mtime)
    assert built, "no build/*/bin/headrace: build the target headrace_cli, or name the binary in HEADRACE_CLI"
    return built[-1]


class Tool:
    """Runs the tool in a folder of its own."""

    def __init__(self, folder):
        self.binary, self.folder = find_binary(), folder

    def run(self, *arguments, **options):
        command = [str(self.binary), *map(str, arguments)]
        return subprocess.run(command, cwd=self.folder, capture_output=True, text=True, timeout=120, **options)

    def ok(self, *arguments, **options):
        done = self.run(*arguments, **options)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def json(self, *arguments):
        return json.loads(self.ok(*arguments, "--json"))

    def error(self, code, *arguments, **options):
        """The message of a run that must fail with this exit code and leave stdout empty."""
        done = self.run(*arguments, **options)
        assert done.returncode == code, f"exit {done.returncode}: {done.stderr}"
        assert done.stderr.startswith("error: ") and done.stdout == ""
        return done.stderr


@functools.cache
def namespace():
    """The command that gives its children mounts of their own; None where this machine grants none."""
    for command in (["unshare", "--mount", "--propagation", "private"], ["unshare", "--map-root-user", "--mount"]):
        trial = [*command, "sh", "-c", 'd=$(mktemp -d) && mount -t tmpfs tmpfs "$d"; code=$?; umount "$d"; rmdir "$d"; exit $code']
        try:
            if subprocess.run(trial, capture_output=True, timeout=30).returncode == 0:
                return command
        except FileNotFoundError:
            pass
    return None


def run_on_disk(tool, mount, *arguments):
    """Runs the tool with a small disk at small/, and gives what it left there too. `mount` prepares the disk."""
    if namespace() is None:
        pytest.skip("needs root or user namespaces, to mount a disk of its own")
    (tool.folder / "small").mkdir()
    script = f'{mount} || exit 99; "$@"; code=$?; ls -A small; exit $code'
    command = [*namespace(), "sh", "-c", script, "sh", str(tool.binary), *map(str, arguments)]
    done = subprocess.run(command, cwd=tool.folder, capture_output=True, text=True, timeout=120)
    assert done.returncode != 99, done.stderr
    return done


@pytest.fixture
def tool(tmp_path):
    return Tool(tmp_path)


@pytest.fixture(scope="session")
def devices(tmp_path_factory):
    """The devices of this build, as the tool itself lists them."""
    message = Tool(tmp_path_factory.mktemp("devices")).error(
        2, "compile", FIXTURES / VERSIONS[-1] / "mlp.pt2", "--device", "abacus"
    )
    return message.strip().rpartition("it has ")[2].split(", ")


@pytest.fixture(params=["reference", "cpu"])
def device(request, devices):
    if request.param not in devices:
        pytest.skip(f"this build has no {request.param} back end")
    return request.param


@pytest.fixture(scope="session")
def wide(tmp_path_factory):
    """A model whose weights are large enough to stream, its input and PyTorch's answer."""
    torch.manual_seed(0)
    layers = [layer for _ in range(6) for layer in (nn.Linear(256, 256), nn.ReLU())]
    model, x = nn.Sequential(*layers).eval(), torch.randn(4, 256)
    batch = torch.export.Dim("batch", min=1, max=64)
    path = tmp_path_factory.mktemp("wide") / "wide.pt2"
    torch.export.save(torch.export.export(model, (x,), dynamic_shapes=({0: batch},)), path)
    return path, x.numpy(), model(x).detach().numpy()
