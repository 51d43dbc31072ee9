"""Options and what is said of those that do not go."""

import warnings

import pytest
import torch
from models import Mlp

import headrace as hr

X = torch.zeros(3, 16)


def compile_mlp(**options):
    return hr.compile(Mlp().eval(), arg_inputs=[X], **{"device": "reference", **options})


def test_an_unknown_option_is_answered_with_the_nearest():
    with pytest.raises(TypeError) as error:
        compile_mlp(cpu_memory_bugdet=1 << 30)
    assert str(error.value) == "compile() got an unknown option 'cpu_memory_bugdet'; did you mean 'cpu_memory_budget'?"


def test_an_option_of_no_kind_has_no_nearest():
    with pytest.raises(TypeError, match=r"^compile\(\) got an unknown option 'qqq'$"):
        compile_mlp(qqq=1)


def test_options_that_are_not_built_say_so():
    with pytest.raises(NotImplementedError, match="torch_executed_ops=.* is not built yet"):
        compile_mlp(torch_executed_ops={"aten.relu.default"})
    with pytest.raises(NotImplementedError, match="cpu_memory_budget"):
        compile_mlp(cpu_memory_budget=1 << 30)
    compile_mlp(torch_executed_ops=set(), cpu_memory_budget=None, dryrun=False)


def test_harmless_options_give_one_warning():
    with pytest.warns(UserWarning) as caught:
        compile_mlp(truncate_double=True, min_block_size=1, optimization_level=5)
    texts = [str(w.message) for w in caught if "no use for" in str(w.message)]
    assert texts == ["compile(): Headrace has no use for these options and goes on without them: "
                     "truncate_double, min_block_size, optimization_level"]


def test_defaults_of_torch_tensorrt_are_silent():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        compile_mlp(truncate_double=False, min_block_size=5, require_full_compilation=True, use_explicit_typing=True,
                    enabled_precisions={torch.float32})
    assert not [w for w in caught if "Headrace" in str(w.message)]


def test_enabled_bfloat16_computes_in_it():
    model = Mlp().eval()
    x = torch.randn(3, 16)
    with torch.no_grad():
        want = model(x)
    plain = hr.compile(model, arg_inputs=[x], device="reference")(x)
    bf16 = hr.compile(model, arg_inputs=[x], device="reference", enabled_precisions={torch.float32, torch.bfloat16})(x)
    typed = hr.compile(model, arg_inputs=[x], device="reference", enabled_precisions={torch.bfloat16}, use_explicit_typing=True)(x)
    assert torch.equal(typed, plain) and not torch.equal(bf16, plain)
    assert bf16.dtype == torch.float32 and (bf16 - want).abs().max() < 0.05 * want.abs().max()


def test_unknown_precisions_are_named():
    with pytest.raises(NotImplementedError, match="float8_e4m3fn"):
        compile_mlp(enabled_precisions={torch.float8_e4m3fn})
    with pytest.raises(ValueError, match="as-is, fp32, bf16"):
        compile_mlp(precision="fp12")


@pytest.mark.parametrize("name", ["cpu", torch.device("cpu"), hr.Device("cpu"), hr.Device(device_type="cpu")])
def test_a_device_has_many_names(cpu, name):
    assert compile_mlp(device=name).engine.backend == cpu


@pytest.mark.parametrize("name", [0, "cuda", torch.device("cuda:1"), hr.Device(gpu_id=0)])
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_named(name):
    with pytest.raises(RuntimeError, match=r"cuda"):
        compile_mlp(device=name)


def test_unknown_devices_are_answered_with_those_there_are():
    with pytest.raises(ValueError, match="there is no device 'tpu' in this build; it has .*reference"):
        compile_mlp(device="tpu")
    with pytest.raises(TypeError, match="found float"):
        compile_mlp(device=1.5)


def test_inputs_are_given_once():
    with pytest.raises(TypeError, match="inputs or arg_inputs, not both"):
        hr.compile(Mlp().eval(), inputs=[X], arg_inputs=[X])
    with pytest.raises(TypeError, match="needs example inputs"):
        hr.compile(Mlp().eval())
    with pytest.raises(TypeError, match="takes a torch.nn.Module or an ExportedProgram, found int"):
        hr.compile(3, inputs=[X])
    with pytest.raises(TypeError, match="takes an ExportedProgram, found Mlp"):
        hr.dynamo.compile(Mlp().eval(), [X])


def test_ranges_of_inputs_are_checked():
    with pytest.raises(ValueError, match="it must rise"):
        hr.Input(min_shape=(4, 2), opt_shape=(2, 2), max_shape=(8, 2))
    with pytest.raises(ValueError, match="differ in rank"):
        hr.Input(min_shape=(1,), opt_shape=(1, 2), max_shape=(1, 2))
    with pytest.raises(TypeError, match="either shape, or all of"):
        hr.Input(min_shape=(1,), opt_shape=(1,))
    program = torch.export.export(Mlp().eval(), (X,))
    with pytest.raises(ValueError, match="export with dynamic_shapes"):
        hr.compile(program, inputs=[hr.Input(min_shape=(1, 16), opt_shape=(3, 16), max_shape=(8, 16))], device="reference")


def test_a_condition_that_cannot_be_read_gives_a_warning():
    class Conditional(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            torch._check(x.shape[0] / 3 < 20)
            return x + 1

    program = torch.export.export(Conditional(), (torch.zeros(6, 4),), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},))
    with pytest.warns(UserWarning, match=r"only where \(L\['x'\]\.size\(\)\[0\] / 3\) < 20\.0") as caught:
        hr.dynamo.compile(program, device="reference")
    assert [w.filename for w in caught if "only where" in str(w.message)] == [__file__]


def test_how_kernels_are_tuned_may_be_said_on_every_device(tmp_path):
    module = compile_mlp(tuning_seconds=0, deterministic=True, engine_path=tmp_path / "mlp.engine")
    tuning = module.tuning
    assert (tuning.tuned, tuning.known, tuning.untuned, tuning.ns, tuning.warnings, str(tuning)) == (0, 0, 0, 0, [], "")
    loaded = hr.load(tmp_path / "mlp.engine", deterministic=True, tuning_seconds=0.5)
    torch.testing.assert_close(loaded(X), module(X), rtol=0, atol=0)
    for seconds in -1, float("nan"):
        with pytest.raises(ValueError, match="tuning takes a number of seconds, 0 or more"):
            hr.load(tmp_path / "mlp.engine", tuning_seconds=seconds)
