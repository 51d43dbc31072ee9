"""Engine files and archives."""

import gc
import os
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import pytest
import torch
from models import Mlp, WideMlp, assert_close

import headrace as hr


@pytest.fixture
def module():
    return hr.compile(Mlp().eval(), arg_inputs=[torch.zeros(3, 16)], device="reference")


def test_a_loaded_engine_gives_the_same_bits(module, tmp_path):
    hr.save(module, tmp_path / "mlp.engine")
    loaded = hr.load(tmp_path / "mlp.engine")
    x = torch.randn(3, 16)
    assert torch.equal(loaded(x), module(x))
    assert torch.equal(loaded(x=x), module(x))
    assert [p.name for p in tmp_path.iterdir()] == ["mlp.engine"]


def test_a_loaded_engine_knows_hugging_face_outputs(tmp_path):
    import zoo

    m = zoo.ZOO["bert_small"].make()
    made = hr.compile(m.module.eval(), kwarg_inputs=m.example, device="reference", engine_path=tmp_path / "bert.engine")
    got, want = hr.load(tmp_path / "bert.engine")(**m.example), made(**m.example)
    assert type(got) is type(want) and torch.equal(got.pooler_output, want.pooler_output)


def test_the_temporary_engine_goes_with_its_module():
    module = hr.compile(Mlp().eval(), arg_inputs=[torch.zeros(3, 16)], device="reference")
    path = Path(module.engine.path)
    assert [p.name for p in path.parent.iterdir()] == [path.name]  # the archive is gone
    del module
    gc.collect()
    assert not path.parent.exists()


def test_a_failed_compile_leaves_no_files(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(ValueError, match="fp12"):
        hr.compile(Mlp().eval(), arg_inputs=[torch.zeros(3, 16)], device="reference", precision="fp12",
                   engine_path=tmp_path / "m.engine")
    assert list(tmp_path.iterdir()) == []


def test_export_writes_an_archive_with_composite_ops_whole(tmp_path):
    program = hr.export(Mlp().eval(), (torch.zeros(3, 16),), path=tmp_path / "mlp.pt2")
    targets = [str(node.target) for node in program.graph.nodes if node.op == "call_function"]
    assert targets == ["aten.linear.default", "aten.relu.default", "aten.linear.default"]
    again = torch.export.load(tmp_path / "mlp.pt2")
    x = torch.randn(3, 16)
    assert_close(hr.dynamo.compile(again, [x], device="reference")(x), program.module()(x).detach())


def test_a_missing_file_is_not_found(tmp_path):
    with pytest.raises(FileNotFoundError, match="none.engine"):
        hr.load(tmp_path / "none.engine")


def test_a_damaged_file_is_refused(module, tmp_path):
    path = tmp_path / "mlp.engine"
    hr.save(module, path)
    hr.verify(path)
    data = bytearray(path.read_bytes())
    path.write_bytes(data[:len(data) // 2])
    with pytest.raises(RuntimeError):
        hr.load(path)
    (tmp_path / "text.engine").write_text("no engine at all")
    with pytest.raises(RuntimeError):
        hr.load(tmp_path / "text.engine")


def test_a_folder_that_is_not_there_is_named(module, tmp_path):
    with pytest.raises(FileNotFoundError):
        hr.save(module, tmp_path / "none" / "mlp.engine")
    with pytest.raises(FileNotFoundError, match="none"):
        hr.compile(Mlp().eval(), arg_inputs=[torch.zeros(3, 16)], device="reference", engine_path=tmp_path / "none" / "m.engine")


@pytest.fixture
def streaming(tmp_path, device):
    """A module that reads its weights from the file for every run, its input and the right answer."""
    x, path = torch.randn(4, 64), tmp_path / "wide.engine"
    hr.compile(WideMlp().eval(), arg_inputs=[x], device=device, engine_path=path)
    module = hr.load(path)
    hr.runtime.weight_streaming(module).device_budget = 0
    return module, x, module(x), path


def test_an_engine_file_that_is_replaced_or_removed_is_read_on(streaming, module):
    streamed, x, want, path = streaming
    hr.save(module, path)  # another engine takes the name
    assert torch.equal(streamed(x), want)
    assert torch.equal(hr.load(path)(torch.ones(3, 16)), module(torch.ones(3, 16)))
    path.unlink()
    assert torch.equal(streamed(x), want)
    weights = hr.runtime.weight_streaming(streamed)
    weights.device_budget = weights.total_device_budget
    assert torch.equal(streamed(x), want)


def test_an_engine_file_that_shrinks_or_is_written_over_is_an_error(streaming):
    streamed, x, _, path = streaming
    data = path.read_bytes()
    os.truncate(path, len(data) // 2)
    with pytest.raises(RuntimeError, match="wide.engine' changed while it was open: .*; open it again"):
        streamed(x)
    path.write_bytes(data[:-1] + b"x")
    with pytest.raises(RuntimeError, match="wide.engine' was written to while it was open; open it again"):
        streamed(x)
    weights = hr.runtime.weight_streaming(streamed)
    with pytest.raises(RuntimeError, match="open it again"):
        weights.device_budget = weights.total_device_budget


def test_resident_weights_outlive_what_happens_to_their_file(streaming):
    streamed, x, want, path = streaming
    weights = hr.runtime.weight_streaming(streamed)
    weights.device_budget = weights.total_device_budget
    os.truncate(path, 0)
    assert torch.equal(streamed(x), want)


ELSEWHERE = """
import sys, torch, headrace as hr
hr.compile(torch.export.load(sys.argv[1]), engine_path=sys.argv[2], device="cpu")
"""


def test_load_packs_an_engine_of_another_isa_again(cpu, tmp_path):
    x = torch.randn(3, 16)
    torch.export.save(torch.export.export(Mlp().eval(), (x,)), tmp_path / "model.pt2")
    here = hr.compile(torch.export.load(tmp_path / "model.pt2"), device=cpu)
    isa = "SSE41" if here.engine.fingerprint.startswith("cpu avx2 ") else "AVX2"
    path = tmp_path / "made_elsewhere.engine"
    subprocess.run([sys.executable, "-c", ELSEWHERE, tmp_path / "model.pt2", path], check=True,
                   env={**os.environ, "ONEDNN_MAX_CPU_ISA": isa})
    with pytest.raises(RuntimeError, match="was made for 'cpu .*made_elsewhere.pt2': there is no such file"):
        hr.load(path)
    with pytest.warns(UserWarning, match="its weights were packed again"):
        module = hr.load(path, model=tmp_path / "model.pt2")
    assert module.engine.fingerprint == here.engine.fingerprint
    assert torch.equal(module(x), here(x))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.equal(hr.load(path)(x), here(x))
