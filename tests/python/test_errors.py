"""Wrong inputs of a call, and models that cannot be compiled."""

import pytest
import torch
from models import Mlp

import headrace as hr


@pytest.fixture(scope="module")
def module():
    return hr.compile(Mlp().eval(), arg_inputs=[torch.zeros(3, 16)], device="reference")


def test_wrong_values_are_type_errors(module):
    with pytest.raises(TypeError, match="^input 'x' must be a torch.Tensor, found float$"):
        module(1.5)
    with pytest.raises(TypeError, match=r"^forward\(\) takes 1 arguments, 2 given; the model was exported with x$"):
        module(torch.zeros(3, 16), torch.zeros(3, 16))
    with pytest.raises(TypeError, match="is missing 'x'"):
        module()


def test_wrong_tensors_are_refused_by_name(module):
    with pytest.raises(ValueError, match="x.*f64"):
        module(torch.zeros(3, 16, dtype=torch.float64))
    with pytest.raises(ValueError, match="x.*17"):
        module(torch.zeros(3, 17))
    with pytest.raises(ValueError, match="x"):
        module(torch.zeros(48))
    with pytest.raises(ValueError, match=r"^input 'x' is on meta, but the engine runs on the CPU; pass .cpu\(\) of it$"):
        module(torch.zeros(3, 16, device="meta"))
    with pytest.raises(TypeError, match="has the layout torch.sparse_coo; pass .to_dense"):
        module(torch.zeros(3, 16).to_sparse())
    with pytest.raises(TypeError, match="is torch.complex64, which engines do not know; it must be f32"):
        module(torch.zeros(3, 16, dtype=torch.complex64))


def test_a_refused_call_leaves_the_module_usable(module):
    with pytest.raises(ValueError):
        module(torch.zeros(3, 17))
    assert module(torch.zeros(3, 16)).shape == (3, 4)


class Unsupported(torch.nn.Module):
    def forward(self, x):
        return torch.fft.rfft(x).abs() + torch.fft.rfft(x * 2).abs()


def test_ops_that_are_not_supported_are_listed():
    with pytest.raises(NotImplementedError) as error:
        hr.compile(Unsupported(), arg_inputs=[torch.zeros(4, 8)], device="reference")
    assert isinstance(error.value, RuntimeError)
    assert "fft" in str(error.value) and "2 nodes" in str(error.value)


def test_every_code_has_its_python_type(tmp_path):
    from headrace import _core

    with pytest.raises(FileNotFoundError):
        _core.compile_archive(tmp_path / "none.pt2", tmp_path / "e", device="reference")
    (tmp_path / "text.pt2").write_text("text")
    with pytest.raises(RuntimeError):
        _core.compile_archive(tmp_path / "text.pt2", tmp_path / "e", device="reference")
    assert not (tmp_path / "e").exists()
