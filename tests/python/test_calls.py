"""How arguments go in and results come out."""

import gc
import json
import subprocess
import sys
import threading
from dataclasses import dataclass

import pytest
import torch
import torch.utils._pytree as pytree
from models import Mlp, WideMlp, assert_close

import headrace as hr

DEVICE = "reference"


@dataclass
class Pair:
    a: torch.Tensor
    b: torch.Tensor


torch.export.register_dataclass(Pair, serialized_type_name="headrace.tests.Pair")


class Nested(torch.nn.Module):
    def forward(self, pair, *, named):
        x, (y, _) = pair.a + pair.b, named["z"]
        return {"sum": Pair(x, y), "rest": (None, [y * 2])}


class Keyword(torch.nn.Module):
    def forward(self, ids, position_ids=None):
        return ids + position_ids


class Several(torch.nn.Module):
    def forward(self, x):
        return x + 1, x * 2


class Constants(torch.nn.Module):
    def forward(self, x, scale, flag=True):
        return x * scale if flag else x


def test_nested_arguments_and_results_keep_their_classes():
    pair, z = Pair(torch.randn(2, 3), torch.randn(2, 3)), (torch.randn(4), None)
    module = hr.compile(Nested(), arg_inputs=[pair], kwarg_inputs={"named": {"z": z}}, device=DEVICE)
    got, want = module(pair, named={"z": z}), Nested()(pair, named={"z": z})
    assert pytree.tree_structure(got) == pytree.tree_structure(want)
    for g, w in zip(pytree.tree_leaves(got), pytree.tree_leaves(want)):
        assert (g is None and w is None) or torch.equal(g, w)


def test_a_tuple_of_results_is_a_tuple():
    x = torch.randn(3)
    got = hr.compile(Several(), arg_inputs=[x], device=DEVICE)(x)
    assert isinstance(got, tuple) and torch.equal(got[0], x + 1) and torch.equal(got[1], x * 2)


def test_arguments_go_by_position_or_by_name():
    ids, position_ids = torch.arange(4), torch.arange(4)
    module = hr.compile(Keyword(), arg_inputs=[ids], kwarg_inputs={"position_ids": position_ids}, device=DEVICE)
    want = ids + position_ids
    for got in (module(ids, position_ids=position_ids), module(ids, position_ids), module(position_ids=position_ids, ids=ids)):
        assert torch.equal(got, want)


def test_a_keyword_left_out_is_named():
    ids = torch.arange(4)
    module = hr.compile(Keyword(), arg_inputs=[ids], kwarg_inputs={"position_ids": ids}, device=DEVICE)
    with pytest.raises(TypeError, match=r"^forward\(\) is missing 'position_ids'; the model was exported with ids, position_ids$"):
        module(ids)
    with pytest.raises(TypeError, match="got an argument 'mask' that the export does not have"):
        module(ids, position_ids=ids, mask=ids)
    with pytest.raises(TypeError, match="got 'ids' twice"):
        module(ids, ids=ids, position_ids=ids)


@pytest.mark.parametrize("device", ["cpu", DEVICE])
def test_a_keyword_of_the_export_must_be_in_every_call(device):
    ids, position_ids = torch.arange(4), torch.arange(4) * 10
    program = torch.export.export(Keyword(), (ids,), {"position_ids": position_ids})
    module = hr.dynamo.compile(program, inputs=[ids], device=device)  # the positional ones alone, as a script may
    assert torch.equal(module(ids, position_ids=position_ids), ids + position_ids)
    for call in (lambda: module(ids), lambda: module(input_ids=ids), lambda: module()):
        with pytest.raises(TypeError) as error:
            call()
        assert "position_ids" in str(error.value) and "\n" not in str(error.value)
    with pytest.raises(TypeError, match=r"^forward\(\) is missing 'position_ids'; the model was exported with ids, position_ids$"):
        module(ids)


def test_a_nested_keyword_left_out_is_named():
    pair, z = Pair(torch.randn(2, 3), torch.randn(2, 3)), (torch.randn(4), None)
    module = hr.compile(Nested(), arg_inputs=[pair], kwarg_inputs={"named": {"z": z}}, device=DEVICE)
    with pytest.raises(TypeError, match=r"^forward\(\) is missing 'named'; the model was exported with argument 0, named$"):
        module(pair)


def test_constants_must_be_those_of_the_export():
    x = torch.randn(3)
    module = hr.compile(Constants(), arg_inputs=[x, 2.5, True], device=DEVICE)
    assert torch.equal(module(x, 2.5, True), x * 2.5)
    with pytest.raises(ValueError, match="is 3.0, but the model was exported with 2.5"):
        module(x, 3.0, True)


def test_inputs_need_not_be_contiguous():
    model, x = Mlp().eval(), torch.randn(16, 6)
    module = hr.compile(model, arg_inputs=[torch.randn(6, 16)], device=DEVICE)
    with torch.no_grad():
        assert_close(module(x.t()), model(x.t()))
        assert_close(module(x.t().repeat(1, 2)[:, ::2]), model(x.t().repeat(1, 2)[:, ::2]))
        assert_close(module(x[:, :1].t().expand(6, 16)), model(x[:, :1].t().expand(6, 16)))


def test_results_are_new_tensors_each_time():
    x = torch.randn(3)
    module = hr.compile(Several(), arg_inputs=[x], device=DEVICE)
    first = module(x)[0]
    kept = first.clone()
    second = module(x + 1)[0]
    assert first.data_ptr() != second.data_ptr() and torch.equal(first, kept)


def test_nan_and_infinity_pass_through():
    x = torch.tensor([float("nan"), float("inf"), -float("inf")])
    got = hr.compile(Several(), arg_inputs=[x], device=DEVICE)(x)[0]
    assert torch.equal(got.isnan(), x.isnan()) and torch.equal(got[1:], x[1:])


def test_a_default_device_of_torch_does_not_move_results():
    x = torch.randn(3)
    module = hr.compile(Several(), arg_inputs=[x], device=DEVICE)
    with torch.device("meta"):
        got = module(x)[0]
    assert got.device.type == "cpu" and torch.equal(got, x + 1)


def test_threads_may_call_one_module():
    model = WideMlp().eval()
    inputs = [torch.randn(4, 64) for _ in range(8)]
    module = hr.compile(model, arg_inputs=[inputs[0]], device=DEVICE)
    want = [module(x) for x in inputs]
    got: dict[int, torch.Tensor] = {}

    def run(i: int) -> None:
        got[i] = module(inputs[i])

    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(inputs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(got[i], want[i]) for i in range(len(inputs)))


def in_threads(count: int, work) -> None:
    """Calls work(i) in `count` threads that start together, and raises what the first of them raised."""
    barrier, errors = threading.Barrier(count), []

    def run(i: int) -> None:
        try:
            barrier.wait()
            work(i)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


class Slow(torch.nn.Module):
    """The reference back end takes its time, without the GIL."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.randn(256, 256))

    def forward(self, x):
        for _ in range(4):
            x = torch.tanh(x @ self.weight)
        return x + 1


def test_calls_from_several_threads_run_at_the_same_time():
    x = torch.randn(96, 256)
    module = hr.compile(Slow().eval(), arg_inputs=[x], device=DEVICE, threads=1)
    want = module(x)
    one = module.memory()

    def call(i: int) -> None:
        assert torch.equal(module(x), want)

    for _ in range(20):  # until two runs met: each holds an arena of its own
        in_threads(4, call)
        held = module.memory()
        if held.arena >= 2 * one.arena:
            break
    assert one.arena < held.arena <= 4 * one.arena
    assert held.resident == one.resident and held.device_used - one.device_used == held.arena - one.arena


def test_a_memory_limit_holds_for_calls_of_all_threads():
    model, x = Slow().eval(), torch.randn(96, 256)
    free = hr.compile(model, arg_inputs=[x], device=DEVICE, threads=1)
    want = free(x)
    limit = free.memory().device_used + 4096
    module = hr.compile(model, arg_inputs=[x], device=DEVICE, threads=1, memory_limit=limit)

    def call(i: int) -> None:
        assert torch.equal(module(x), want)

    in_threads(4, call)
    assert module.memory().device_peak <= limit and module.memory().arena == free.memory().arena


def test_modules_in_a_pool_share_their_arena_and_take_turns():
    xs = [torch.randn(32, 256), torch.randn(96, 256)]
    models = [Slow().eval() for _ in xs]
    alone = [hr.compile(model, arg_inputs=[x], device=DEVICE, threads=1) for model, x in zip(models, xs, strict=True)]
    wants = [module(x) for module, x in zip(alone, xs, strict=True)]
    pool = hr.runtime.Pool()
    assert (pool.arena, pool.scratch) == (0, 0)
    pooled = [hr.compile(model, arg_inputs=[x], device=DEVICE, threads=1, pool=pool)
              for model, x in zip(models, xs, strict=True)]
    for i in (0, 1, 0, 1):
        assert torch.equal(pooled[i](xs[i]), wants[i])
    assert pool.arena == max(module.memory().arena for module in alone) == pooled[0].memory().arena
    refused = []

    def call(i: int) -> None:
        try:
            assert torch.equal(pooled[i](xs[i]), wants[i])
        except ValueError as error:
            refused.append(str(error))

    for _ in range(100):  # until two calls met
        in_threads(2, call)
        if refused:
            break
    assert set(refused) == {"another context of this pool is running; contexts that run at the same time need a pool each"}
    pooled.clear()
    gc.collect()
    assert pool.arena == 0
    with pytest.raises(NotImplementedError, match="a context in a shared pool can have none"):
        hr.compile(models[0], arg_inputs=[xs[0]], device=DEVICE, pool=pool, memory_limit=1 << 30)


SCARCE_MEMORY = """
import json, resource, threading, torch, headrace as hr

class Wide(torch.nn.Module):
    def forward(self, x):
        y = x.unsqueeze(0) + torch.arange(512).reshape(512, 1).float()  # 16 MiB
        return torch.sin(y.softmax(0)).sum(0)

x = torch.randn(8192)
module = hr.compile(Wide().eval(), arg_inputs=[x], device="reference", threads=1)
want, barrier, same, errors = module(x), threading.Barrier(5), [], []
arena = module.memory().arena

def run():
    barrier.wait()
    try:
        same.append(torch.equal(module(x), want))
    except BaseException as error:
        errors.append(str(error))

threads = [threading.Thread(target=run) for _ in range(4)]
for thread in threads:
    thread.start()
held = next(int(line.split()[1]) << 10 for line in open("/proc/self/status") if line.startswith("VmData:"))
resource.setrlimit(resource.RLIMIT_DATA, (held + arena // 2,) * 2)
barrier.wait()
for thread in threads:
    thread.join()
print(json.dumps([arena, same, errors, module.memory().arena]))
"""


def test_calls_take_turns_where_memory_is_too_scarce_to_run_together():
    run = subprocess.run([sys.executable, "-c", SCARCE_MEMORY], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    arena, same, errors, held = json.loads(run.stdout)
    assert arena >= 16 << 20 and errors == [] and same == [True] * 4 and held == arena


def test_threads_may_call_while_budgets_change_and_errors_happen():
    x = torch.randn(4, 64)
    module = hr.compile(WideMlp().eval(), arg_inputs=[x], device=DEVICE, enable_weight_streaming=True)
    want, weights = module(x), hr.runtime.weight_streaming(module)

    def work(i: int) -> None:
        for round in range(10):
            if i == 0:
                weights.device_budget = (round % 2) * weights.total_device_budget
            elif i == 1:
                with pytest.raises(ValueError):
                    module(torch.randn(4, 65))
            else:
                assert torch.equal(module(x), want)

    in_threads(6, work)
    assert torch.equal(module(x), want)


def test_a_module_prints_its_engine():
    x = torch.randn(3)
    text = str(hr.compile(Several(), arg_inputs=[x], device=DEVICE))
    assert "(_run_on_acc_0): EngineModule(reference, 1 inputs, 2 outputs)" in text


COUNT_POOLS = """
import json, torch, headrace as hr
x = torch.randn(64, 256)
model = torch.nn.Linear(256, 256).eval()
module = hr.compile(model, arg_inputs=[x])
with torch.no_grad():
    model(x), module(x)
maps = open("/proc/self/maps").read().split()
print(json.dumps(sorted({m for m in maps if "gomp" in m.rpartition("/")[2] and "dnnl" not in m})))
"""


def test_pytorch_and_headrace_share_one_pool_of_threads(cpu):
    # A process of its own: this one may hold libraries of other tests.
    run = subprocess.run([sys.executable, "-c", COUNT_POOLS], capture_output=True, text=True, check=True)
    pools = json.loads(run.stdout)
    assert len(pools) == 1 and "/torch/lib/" in pools[0], pools
