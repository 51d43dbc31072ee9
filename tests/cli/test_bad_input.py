"""Bad input from the command line: an exit code, a message with what to do, and nothing left behind."""

import shutil
import zipfile

import numpy as np
import pytest
import torch
from conftest import FIXTURES, VERSIONS

LATEST = FIXTURES / VERSIONS[-1]
MLP = LATEST / "mlp.pt2"
REFERENCE = ("--device", "reference")


@pytest.fixture
def engine(tool):
    tool.ok("compile", LATEST / "mlp_dynamic.pt2", "-o", "mlp.engine", *REFERENCE)
    return "mlp.engine"


def rewritten(target, change):
    """mlp.pt2 with `change` applied to the bytes of each entry: name, bytes -> bytes."""
    with zipfile.ZipFile(MLP) as source, zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as out:
        for info in source.infolist():
            out.writestr(info.filename, change(info.filename, source.read(info)))


def make_truncated(path):
    path.write_bytes(MLP.read_bytes()[:-200])


def make_encrypted(path):
    data = bytearray(MLP.read_bytes())
    for signature, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        start = data.find(signature)
        while start >= 0:
            data[start + at] |= 1
            start = data.find(signature, start + 4)
    path.write_bytes(data)


def make_wrong_json(path):
    rewritten(path, lambda name, data: b"{" if name.endswith("model.json") else data)


def make_newer_schema(path):
    def change(name, data):
        return data.replace(b'"major": 8', b'"major": 99') if name.endswith("model.json") else data

    rewritten(path, change)


def make_sparse_weight(path):
    """As PyTorch would write one if it could: the layouts of `TensorMeta`, 1 is sparse_coo and 7 strided."""

    def change(name, data):
        return data.replace(b'"layout": 7', b'"layout": 1', 1) if name.endswith("weights_config.json") else data

    rewritten(path, change)


def make_sparse_input(path):
    class Product(torch.nn.Module):
        def forward(self, x):
            return torch.mm(x, torch.ones(8, 8))

    torch.export.save(torch.export.export(Product(), (torch.eye(8).to_sparse(),)), path)


class Quantised(torch.nn.Module):
    """A weight of 8 bits, given its scale by `widen`."""

    def __init__(self, weight, widen):
        super().__init__()
        self.register_buffer("weight", weight)
        self.widen = widen

    def forward(self, x):
        return x @ self.widen(self.weight)


def make_float8_weight(path):
    model = Quantised(torch.ones(8, 8).to(torch.float8_e4m3fn), lambda weight: weight.to(torch.float32) * 0.5)
    torch.export.save(torch.export.export(model, (torch.ones(2, 8),)), path)


def make_quantised_ops(path):
    import torch.ao.quantization.fx._decomposed  # noqa: F401  registers them

    dequantise = torch.ops.quantized_decomposed.dequantize_per_tensor.default
    model = Quantised(torch.ones(8, 8, dtype=torch.int8), lambda weight: dequantise(weight, 0.1, 0, -128, 127, torch.int8))
    torch.export.save(torch.export.export(model, (torch.ones(2, 8),)), path)


BAD_ARCHIVES = {
    "missing": (3, lambda path: None, "No such file"),
    "empty": (4, lambda path: path.write_bytes(b""), "it is empty; save the program again"),
    "truncated": (4, make_truncated, "it is cut short; copy or save it again"),
    "not_a_zip": (4, lambda path: path.write_bytes(b"no zip at all" * 100), "give what torch.export.save wrote"),
    "wrong_json": (4, make_wrong_json, "model.json: it is not valid JSON"),
    "encrypted": (6, make_encrypted, "is encrypted; decrypt the archive"),
    "newer_schema": (6, make_newer_schema, "in schema 99; this version reads schema 8: use a newer Headrace"),
    "pickled_weight": (6, lambda path: shutil.copy(LATEST / "pickled_weight.pt2", path), "as a Python pickle"),
    "complex_weight": (6, lambda path: shutil.copy(LATEST / "complex_weight.pt2", path), "has dtype c64, which Headrace lacks"),
    "sparse_weight": (6, make_sparse_weight, "tensor 'first.weight' has layout sparse_coo; call .to_dense() on it"),
    "sparse_input": (6, make_sparse_input, "input 'x' has layout sparse_coo; call .to_dense() on it"),
    "float8_weight": (6, make_float8_weight, "tensor 'weight' has dtype"),
    "quantised_ops": (6, make_quantised_ops, "quantized_decomposed.dequantize_per_tensor.default  1 node"),
}


@pytest.mark.parametrize("name", BAD_ARCHIVES)
def test_a_bad_archive_gets_an_error_that_names_it(tool, name):
    code, make, wanted = BAD_ARCHIVES[name]
    make(tool.folder / f"{name}.pt2")
    message = tool.error(code, "compile", f"{name}.pt2", *REFERENCE)
    assert f"{name}.pt2" in message and wanted in message
    assert not (tool.folder / f"{name}.engine").exists()


def test_unsupported_ops_are_listed_all_at_once(tool):
    message = tool.error(6, "compile", LATEST / "fft.pt2", *REFERENCE)
    assert message.startswith("error: fft.pt2: 2 of 2 ops are not supported\n")
    assert "aten.fft_rfft.default" in message and "aten.real.default" in message and "make_pt2.py:" in message


X = np.zeros((2, 8), np.float32)
BAD_INPUTS = {
    "missing": ({"y": X}, "has no array for input 'x'; it has: y. The engine's inputs are: x"),
    "unknown": ({"x": X, "z": X}, "has an array 'z', which is no input of the engine; its inputs are: x"),
    "too_many": ({"arr_0": X, "arr_1": X}, "has an array 'arr_1'"),
    "rank": ({"x": X[0]}, "'x'"),
    "dtype": ({"x": X.astype(np.int64)}, "i64"),
    "shape": ({"x": X[:, :7]}, "7"),
    "outside_the_profile": ({"x": np.zeros((201, 8), np.float32)}, "200"),
}


@pytest.mark.parametrize("name", BAD_INPUTS)
def test_a_wrong_input_says_what_was_asked_and_found(tool, engine, name):
    arrays, wanted = BAD_INPUTS[name]
    np.savez(tool.folder / "in.npz", **arrays)
    assert wanted in tool.error(2, "run", engine, "--inputs", "in.npz")


def test_equal_sizes_that_differ_are_named_with_their_inputs(tool):
    class Sum(torch.nn.Module):
        def forward(self, x, y):
            return x + y

    batch = torch.export.Dim("batch", min=1, max=64)
    program = torch.export.export(Sum(), (torch.ones(3, 4),) * 2, dynamic_shapes=({0: batch},) * 2)
    torch.export.save(program, tool.folder / "sum.pt2")
    tool.ok("compile", "sum.pt2", *REFERENCE)
    np.savez(tool.folder / "in.npz", x=np.ones((3, 4), np.float32), y=np.ones((5, 4), np.float32))
    message = tool.error(2, "run", "sum.engine", "--inputs", "in.npz")
    assert "input 'y'" in message and "5" in message and "3" in message and "'x'" in message


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_fortran_order_and_compressed_arrays_are_accepted(tool, engine, save):
    x = np.asfortranarray(np.random.default_rng(0).standard_normal((3, 8), dtype=np.float32))
    save(tool.folder / "f.npz", x=x)
    np.savez(tool.folder / "c.npz", np.ascontiguousarray(x))  # by position
    for name in "fc":
        tool.ok("run", engine, "--inputs", f"{name}.npz", "--outputs", f"{name}_out.npz")
    f, c = (np.load(tool.folder / f"{name}_out.npz")["output"] for name in "fc")
    assert f.tobytes() == c.tobytes()


def test_nan_and_infinity_pass_through(tool, engine):
    x = np.zeros((2, 8), np.float32)
    x[0, 0], x[1, 0] = np.nan, np.inf
    np.savez(tool.folder / "in.npz", x=x)
    outputs = tool.json("run", engine, "--inputs", "in.npz")["outputs"]
    assert outputs[0]["not_finite"] >= 4


BAD_NPZ = {
    "missing": (3, lambda path: None),
    "empty": (4, lambda path: path.write_bytes(b"")),
    "not_a_zip": (4, lambda path: path.write_bytes(b"x" * 500)),
    "strings": (6, lambda path: np.savez(path, x=np.array(["a"]))),
    "objects": (6, lambda path: np.savez(path, x=np.array([{}], dtype=object))),
    "big_endian": (6, lambda path: np.savez(path, x=X.astype(">f4"))),
}


@pytest.mark.parametrize("name", BAD_NPZ)
def test_a_bad_npz_gets_an_error_that_names_it(tool, engine, name):
    code, make = BAD_NPZ[name]
    make(tool.folder / f"{name}.npz")
    assert f"{name}.npz" in tool.error(code, "run", engine, "--inputs", f"{name}.npz")


@pytest.mark.parametrize(
    "budget,wanted",
    [
        ("-1", "cannot be negative"),
        ("10 %x", "'%x' is no unit"),
        ("110%", "a share cannot exceed 100%"),
        ("lots", "'lots' is no weight budget; write all, auto, a share as in 10%, or a size as in 512MiB"),
        (" ", "is no weight budget"),
        ("4k", "'k' is no unit"),
    ],
)
def test_a_malformed_budget_is_refused_with_examples(tool, engine, budget, wanted):
    assert wanted in tool.error(2, "run", engine, "--random", "0", f"--weight-budget={budget}")
    assert wanted in tool.error(2, "bench", engine, f"--weight-budget=all,{budget}")


@pytest.mark.parametrize(
    "arguments,wanted",
    [
        ([], "subcommand is required"),
        (["run", "mlp.engine"], "--inputs in.npz or --random SEED"),
        (["run", "mlp.engine", "--random", "x"], "--random"),
        (["run", "mlp.engine", "--random", "0", "--threads", "0"], "--threads"),
        (["run", "mlp.engine", "--random", "0", "--memory-limit", "2 apples"], "'apples' is no unit"),
        (["run", "mlp.engine", "--random", "0", "--size", "s77"], "'s77' is no size; write NAME=VALUE"),
        (["run", "mlp.engine", "--random", "0", "--size", "s1=2"], "no dynamic size 's1'; it has: s77"),
        (["run", "mlp.engine", "--random", "0", "--wieght-budget", "1"],
         "run has no option '--wieght-budget'; did you mean '--weight-budget'?\n  see headrace run --help"),
        (["run", "mlp.engine", "--random=0", "--memory-limt=1GiB"], "did you mean '--memory-limit'?"),
        (["bench", "mlp.engine", "--xyzzy"], "bench has no option '--xyzzy'\n"),
        (["complie", "mlp.pt2"], "there is no command 'complie'; did you mean 'compile'?\n  see headrace --help"),
        (["verify", "mlp.engine", "other.engine"], "other.engine"),
        (["bench", "mlp.engine", "--batch", "1,x"], "'x' is no count"),
        (["bench", "mlp.engine", "--batch", "500"], "the engine's profile allows 1 to 200"),
        (["compile", str(MLP), "--device", "abacus"], "there is no device 'abacus' in this build; it has"),
        (["compile", str(MLP), "--precision", "int3", *REFERENCE], "int3"),
        (["compile", str(MLP), "--profile", "s0=4:2:1", *REFERENCE], "min <= opt <= max does not hold"),
        (["compile", str(MLP), "--profile", "s0=1:2", *REFERENCE], "write NAME=MIN:OPT:MAX"),
        (["compile", str(MLP), "--profile", "s0=1:2:3", *REFERENCE], "no dynamic size 's0'"),
        (["compile", str(MLP), "--pass-off", "magic", *REFERENCE], "magic"),
    ],
)
def test_a_wrong_command_line_exits_with_2_and_says_why(tool, engine, arguments, wanted):
    assert wanted in tool.error(2, *arguments)


def test_a_memory_limit_that_is_too_small_names_the_least_that_works(tool, engine):
    message = tool.error(5, "run", engine, "--random", "0", "--memory-limit", "100")
    assert "does not fit a memory limit of 100 B: it needs at least" in message and "try" in message


DAMAGED = {
    "empty": "it is no engine file",
    "text": "it is no engine file",
    "truncated": "copy it again or compile again",
    "later_version": "this version of Headrace reads",
    "other_byte_order": "it was compiled on a machine of the other byte order; compile again on this one",
}


@pytest.mark.parametrize("command", [("run", "--random", "0"), ("bench",), ("inspect",), ("verify",)])
@pytest.mark.parametrize("make", DAMAGED)
def test_no_command_takes_a_damaged_engine(tool, engine, command, make):
    path = tool.folder / engine
    data = bytearray(path.read_bytes())
    if make == "later_version":
        data[8] ^= 0x55  # behind the magic
    if make == "other_byte_order":
        data[12:16] = data[15:11:-1]
    path.write_bytes({"empty": b"", "text": b"hello " * 999, "truncated": data[: len(data) // 2]}.get(make, data))
    message = tool.error(4, command[0], engine, *command[1:])
    assert "mlp.engine" in message and DAMAGED[make] in message


def test_a_target_in_no_folder_is_an_error(tool, engine):
    assert "nowhere" in tool.error(3, "compile", MLP, "-o", "nowhere/m.engine", *REFERENCE)
    assert "nowhere" in tool.error(3, "run", engine, "--random", "0", "--outputs", "nowhere/out.npz")
