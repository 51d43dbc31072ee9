"""What the machine does to the tool: full disks, folders that cannot be written, no descriptors left, kills."""

import resource
import signal
import subprocess
import time

import pytest
from conftest import FIXTURES, VERSIONS, run_on_disk

MLP = FIXTURES / VERSIONS[-1] / "mlp.pt2"
REFERENCE = ("--device", "reference")


def limited(kind, value):
    def apply():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # so that a write fails, as on a full disk
        resource.setrlimit(kind, (value, value))

    return apply


def test_a_full_disk_tells_what_is_free_and_leaves_no_engine(tool, wide):
    done = run_on_disk(tool, "mount -t tmpfs -o size=256k tmpfs small", "compile", wide[0], "-o", "small/m.engine", *REFERENCE)
    assert done.returncode == 5, done.stderr
    assert "small/m.engine" in done.stderr and "the disk has only 256.0 KiB free; free space" in done.stderr
    assert done.stdout == ""


def test_a_disk_that_fills_up_leaves_no_outputs(tool):
    tool.ok("compile", MLP, "-o", "mlp.engine", *REFERENCE)
    fill = "mount -t tmpfs -o size=64k tmpfs small && head -c 65536 /dev/zero > small/other"
    arguments = ["run", "mlp.engine", "--random", "0", "--outputs", "small/out.npz"]
    done = run_on_disk(tool, fill, *arguments)
    assert done.returncode == 5 and "small/out.npz" in done.stderr, done.stderr
    assert "No space left on device; free space or choose another folder" in done.stderr and done.stdout == "other\n"


def test_a_file_system_that_is_read_only_is_named_with_what_to_do(tool):
    read_only = "mount -t tmpfs tmpfs small && mount -o remount,ro small"
    done = run_on_disk(tool, read_only, "compile", MLP, "-o", "small/m.engine", *REFERENCE)
    assert done.returncode == 2 and "write 'small/m.engine': Read-only file system; choose a folder" in done.stderr


def test_a_folder_that_takes_no_files_is_an_error(tool):
    done = tool.run("compile", MLP, "-o", "/proc/m.engine", *REFERENCE)
    assert done.returncode in (2, 3, 5, 7) and "/proc/m.engine" in done.stderr


def test_a_limit_on_file_sizes_leaves_no_engine(tool):
    full = limited(resource.RLIMIT_FSIZE, 4096)
    message = tool.error(5, "compile", MLP, "-o", "m.engine", *REFERENCE, preexec_fn=full)
    assert "m.engine" in message
    assert list(tool.folder.iterdir()) == []


@pytest.mark.parametrize("arguments", [
    ("run", "wide.engine", "--random", "0", "--weight-budget", "0"),
    ("compile", "wide.pt2", "-o", "again.engine", *REFERENCE),
], ids=lambda arguments: arguments[0])
def test_running_out_of_descriptors_at_any_point_is_an_error(tool, wide, arguments):
    tool.ok("compile", wide[0], "-o", "wide.engine", *REFERENCE)
    (tool.folder / "wide.pt2").symlink_to(wide[0])
    refused = 0
    for most in range(4, 32):  # 3 are open, and one loads the libraries
        done = tool.run(*arguments, preexec_fn=limited(resource.RLIMIT_NOFILE, most))
        if done.returncode == 0:
            break
        refused += 1
        assert done.returncode == 5 and ("wide." in done.stderr or "again.engine" in done.stderr), done.stderr
        assert "Too many open files; raise the limit of open files (ulimit -n)" in done.stderr
    assert done.returncode == 0 and refused > 0


def test_a_killed_compile_leaves_no_partial_engine(tool, wide):
    for wait_ms in range(0, 40, 2):
        target = tool.folder / f"m{wait_ms}.engine"
        command = [tool.binary, "compile", wide[0], "-o", target, *REFERENCE]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        time.sleep(wait_ms / 1000)
        process.send_signal(signal.SIGKILL)
        process.wait()
        if target.exists():
            tool.ok("verify", target)
    assert all(path.name in {f"m{wait}.engine" for wait in range(0, 40, 2)} for path in tool.folder.iterdir())
