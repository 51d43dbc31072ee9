"""What the NVIDIA driver says no to, on the stand-in for it (tests/fake_cuda), which has a device sm_90 and no kernels."""

import os

import pytest
from conftest import FIXTURES, VERSIONS, find_binary

MLP = FIXTURES / VERSIONS[-1] / "mlp.pt2"
BUILD = find_binary().parents[1]
FAKE = BUILD / "fake_cuda"

pytestmark = pytest.mark.skipif(
    not (FAKE / "libcuda.so.1").exists() or not (BUILD / "lib" / "libheadrace_cuda.so").exists(),
    reason="this build has no cuda back end, or not the driver's stand-in",
)


def environment(tool, faults=""):
    path = os.environ.get("LD_LIBRARY_PATH")
    return {**os.environ, "HEADRACE_FAKE_CUDA": faults, "LD_LIBRARY_PATH": f"{FAKE}:{path}" if path else str(FAKE),
            "HEADRACE_CACHE_DIR": str(tool.folder / "cache")}


def engine(tool, model=MLP, target="sm_90"):
    name = f"{target}.engine"
    tool.ok("compile", model, "--device", f"cuda:{target}", "-o", name)
    return name


def refused(tool, code, file, *options, faults=""):
    return tool.error(code, "run", file, "--random", "0", *options, env=environment(tool, faults))


def test_an_engine_for_another_gpu_says_what_to_compile_for(tool):
    message = refused(tool, 4, engine(tool, target="sm_80"))
    assert "'cuda sm_80" in message and "this device (fake GPU) is 'cuda sm_90" in message
    assert message.endswith("compile the model for cuda:sm_90\n")


@pytest.mark.parametrize(
    "options, faults, text",
    [
        (["--device", "cuda:7"], "", "there is no CUDA device 7: the driver shows 1; CUDA_VISIBLE_DEVICES may hide others"),
        ([], "version=12040", "the NVIDIA driver (libcuda.so.1) is for CUDA 12.4, 13.0 is needed; update the driver"),
        ([], "devices=0", "start the NVIDIA driver (libcuda.so.1): CUDA_ERROR_NO_DEVICE (100)"),
        ([], "cuDevicePrimaryCtxRetain=700", "start CUDA device 0 (fake GPU): CUDA_ERROR_ILLEGAL_ADDRESS (700)"),
        ([], "cuStreamSynchronize=700 cuEventSynchronize=700", "CUDA_ERROR_ILLEGAL_ADDRESS (700)"),
    ],
)
def test_what_a_driver_refuses_is_told(tool, options, faults, text):
    assert text in refused(tool, 7, engine(tool), *options, faults=faults)


def test_a_device_without_memory_names_the_weight(tool, wide):
    message = refused(tool, 5, engine(tool, wide[0]), "--weight-budget", "100%", faults="cuMemAlloc=2")
    assert message.startswith("error: weight '") and "cannot allocate" in message
    assert "for resident weights on CUDA device 0 (fake GPU)" in message


def test_too_little_host_memory_to_pin_is_told(tool, wide):
    message = refused(tool, 5, engine(tool, wide[0]), "--host-limit", "4096")
    assert "are allowed" in message and "of host memory to copy" in message


def test_a_cache_folder_that_others_can_write_to_is_not_used(tool):
    cache = tool.folder / "cache"
    cache.mkdir()
    cache.chmod(0o777)
    arguments = "run", engine(tool), "--random", "0"
    assert f"warning: tuned choices are not kept: use the folder '{cache}': others can write to it" in tool.run(
        *arguments, env=environment(tool)).stderr
    assert not list(cache.iterdir())
    assert "warning" not in tool.run(*arguments, "--deterministic", env=environment(tool)).stderr
    cache.chmod(0o700)
    assert "warning" not in tool.run(*arguments, env=environment(tool)).stderr
    assert (cache / "tuning").is_dir()
