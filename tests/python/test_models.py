"""Whole models against PyTorch."""

import pytest
import torch
from models import Mlp, assert_close
from torch.export import Dim

import headrace as hr


def test_an_mlp_gives_what_pytorch_gives(device):
    model, x = Mlp().eval(), torch.randn(3, 16)
    module = hr.compile(model, arg_inputs=[x], device=device)
    assert isinstance(module, torch.nn.Module)
    with torch.no_grad():
        assert_close(module(x), model(x))


def test_a_module_in_bfloat16_stays_in_it(device):
    model, x = Mlp().eval().bfloat16(), torch.randn(3, 16).bfloat16()
    module = hr.compile(model, inputs=[x], device=device)
    with torch.no_grad():
        assert_close(module(x), model(x), 0.06)


def test_inputs_with_ranges_make_a_dynamic_engine(device):
    model = Mlp().eval()
    module = hr.compile(model, device=device,
                        arg_inputs=[hr.Input(min_shape=(1, 16), opt_shape=(8, 16), max_shape=(32, 16))])
    (batch,) = module.engine.profile
    assert (batch.min, batch.opt, batch.max) == (1, 8, 32)
    with torch.no_grad():
        for n in (1, 5, 8, 32):
            x = torch.randn(n, 16)
            assert_close(module(x), model(x))
    with pytest.raises(ValueError, match="33"):
        module(torch.randn(33, 16))


def test_ranges_come_from_the_exported_program(device):
    model = Mlp().eval()
    program = torch.export.export(model, (torch.randn(4, 16),), dynamic_shapes=({0: Dim("batch", min=1, max=200)},))
    module = hr.dynamo.compile(program, [torch.randn(2, 16)], device=device)
    (batch,) = module.engine.profile
    assert (batch.min, batch.opt, batch.max) == (1, 4, 200)
    x = torch.randn(200, 16)
    with torch.no_grad():
        assert_close(module(x), model(x))


def test_bert_with_dynamic_batch_and_sequence_gives_hugging_face_outputs(device):
    import zoo

    m = zoo.ZOO["bert_small"].make()
    model = m.module.eval()
    program = torch.export.export(model, (), m.example, dynamic_shapes=zoo.dynamic_shapes(m))
    module = hr.dynamo.compile(program, device=device)
    for case in [m.example, *m.cases]:
        with torch.no_grad():
            want = model(**case)
        got = module(**case)
        assert type(got) is type(want) and list(got) == list(want)
        assert_close(got.last_hidden_state, want.last_hidden_state)
        assert_close(got.pooler_output, want.pooler_output)


@pytest.mark.parametrize("name", ["resnet_small", "vit_small"])
def test_an_image_model_gives_what_pytorch_gives(device, name):
    import zoo

    m = zoo.ZOO[name].make()
    model = m.module.eval()
    module = hr.compile(model, kwarg_inputs=m.example, device=device)
    with torch.no_grad():
        assert_close(module(**m.example), model(**m.example))


def test_resnet18_gives_what_pytorch_gives(cpu):
    import zoo

    m = zoo.ZOO["resnet18"].make()
    model = m.module.eval()
    x = torch.randn(1, 3, 224, 224)
    module = hr.compile(model, arg_inputs=[x], device=cpu)
    with torch.no_grad():
        assert_close(module(x), model(x))
