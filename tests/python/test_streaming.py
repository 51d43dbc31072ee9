"""Weight budgets."""

import pytest
import torch
from models import WideMlp

import headrace as hr


@pytest.fixture
def streamed(device):
    x = torch.randn(4, 64)
    return hr.compile(WideMlp().eval(), arg_inputs=[x], device=device, enable_weight_streaming=True), x


def test_results_do_not_depend_on_the_budget(streamed):
    module, x = streamed
    with hr.runtime.weight_streaming(module) as weights:
        total = weights.total_device_budget
        assert total >= 2 * 512 * 512 * 4
        weights.device_budget = total
        want = module(x)
        for budget in (total // 2, total // 10, 0, total // 2, total):
            weights.device_budget = budget
            assert weights.device_budget == budget
            assert torch.equal(module(x), want)
            assert module.memory().resident <= budget
            assert module.memory().streamed_last_run >= total - budget - module.memory().scratch
        weights.device_budget = 0
        assert torch.equal(module(x), want) and module.memory().streamed_last_run == total


def test_the_context_manager_puts_the_budget_back(streamed):
    module, _ = streamed
    weights = hr.runtime.weight_streaming(module)
    weights.device_budget = 100_000
    with pytest.raises(KeyError):
        with hr.runtime.weight_streaming(module) as inner:
            inner.device_budget = 0
            raise KeyError
    assert weights.device_budget == 100_000


def test_a_budget_above_the_total_is_the_total_with_a_warning(streamed):
    module, _ = streamed
    weights = hr.runtime.weight_streaming(module)
    with pytest.warns(UserWarning, match="is more than the"):
        weights.device_budget = weights.total_device_budget + 1
    assert weights.device_budget == weights.total_device_budget


def test_a_bad_budget_changes_nothing(streamed):
    module, _ = streamed
    weights = hr.runtime.weight_streaming(module)
    weights.device_budget = 100_000
    with pytest.raises(ValueError, match="-1"):
        weights.device_budget = -1
    with pytest.raises(TypeError, match="must be an int, in bytes, found float"):
        weights.device_budget = 0.5
    assert weights.device_budget == 100_000


def test_the_automatic_budget_lies_between_none_and_all(streamed):
    weights = hr.runtime.weight_streaming(streamed[0])
    assert 0 <= weights.get_automatic_weight_streaming_budget() <= weights.total_device_budget


def test_without_weight_streaming_nothing_streams():
    x = torch.randn(4, 64)
    module = hr.compile(WideMlp().eval(), arg_inputs=[x], device="reference")
    module(x)
    assert module.memory().resident == module.memory().streamable > 0
    with hr.runtime.weight_streaming(module) as weights:
        assert weights.total_device_budget == 0
        with pytest.raises(RuntimeError, match="compile it with enable_weight_streaming=True"):
            weights.device_budget = 0


def test_weight_streaming_needs_a_compiled_module():
    with pytest.raises(TypeError, match="Linear has no compiled part"):
        hr.runtime.weight_streaming(torch.nn.Linear(2, 2))


def test_a_memory_limit_that_is_too_small_says_what_is_needed():
    with pytest.raises(MemoryError, match="at least"):
        hr.compile(WideMlp().eval(), arg_inputs=[torch.randn(4, 64)], device="reference", memory_limit=1000)
