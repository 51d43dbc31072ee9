"""The wheel, made from the tree and installed into an environment of its own."""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# The preset dev's flags: the compiler cache then has every object that the tests were built from.
SETTINGS = ["cmake.build-type=Debug", "cmake.define.CMAKE_CXX_FLAGS_DEBUG=-O1", "build-dir=build/wheel"]


def run(*command, **options):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, **options)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    return done.stdout


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    """Made here, or the file that HEADRACE_WHEEL names."""
    if "HEADRACE_WHEEL" in os.environ:
        return Path(os.environ["HEADRACE_WHEEL"]).resolve()
    folder = tmp_path_factory.mktemp("wheel")
    settings = [part for setting in SETTINGS for part in ("--config-settings", setting)]
    run(sys.executable, "-m", "pip", "wheel", "--no-build-isolation", "--no-deps", "--no-index", "--no-cache-dir",
        *settings, "-w", folder, ROOT)
    (path,) = folder.glob("headrace-*.whl")
    return path


class Environment:
    """A virtual environment with the wheel in it, and with the packages that it needs."""

    def __init__(self, folder, wheel):
        self.folder, self.python = folder, folder / "bin" / "python"
        run(sys.executable, "-m", "venv", "--without-pip", folder)
        run(sys.executable, "-m", "pip", "--python", self.python, "install", "--no-deps", "--no-index", wheel)
        # PyTorch from the environment that runs the tests, and oneDNN where its wheel would put it.
        (packages,) = folder.glob("lib/python*/site-packages")
        (packages / "borrowed.pth").write_text(sysconfig.get_path("platlib") + "\n")
        for library in (Path(sys.prefix) / "lib").glob("libdnnl.so*"):
            (folder / "lib" / library.name).symlink_to(library.resolve())

    def run(self, program, *arguments, cwd):
        """Runs a program of the environment, with nothing set that could find what the wheel lacks."""
        clean = {name: value for name, value in os.environ.items()
                 if name not in ("PYTHONPATH", "LD_LIBRARY_PATH", "HEADRACE_CLI")}
        return run(self.folder / "bin" / program, *arguments, cwd=cwd, env=clean)


@pytest.fixture(scope="session")
def environment(wheel, tmp_path_factory):
    return Environment(tmp_path_factory.mktemp("environment"), wheel)
