"""Rows are computed with the adapters of their requests, on stand-ins as wrong as vLLM's.

With real engines: ``vllm/test_adapter_rows.py``.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest

from python_worker.process import adapter_rows


@dataclass
class StepMapping:
    """As vLLM's LoRAMapping."""

    index_mapping: tuple[int, ...]
    prompt_mapping: tuple[int, ...]
    is_prefill: bool = False


class Manager:
    """As vLLM's manager of adapters."""

    def __init__(self, mapping: StepMapping) -> None:
        self._last_mapping = mapping

    def set_adapter_mapping(self, mapping: StepMapping) -> None:
        self._last_mapping = mapping


class GPUModelRunner:
    """As vLLM's: what it computes for a prompt are the adapters of its rows."""

    def __init__(self, adapters: Mapping[str, int], asked: Mapping[str, int]) -> None:
        self.of_the_step = tuple(adapters.values())
        mapping = StepMapping(self.of_the_step, self.of_the_step, is_prefill=True)
        self.lora_manager: Any = SimpleNamespace(_adapter_manager=Manager(mapping))
        self.lora_config: object | None = object()
        self.requests = {
            request_id: SimpleNamespace(
                lora_request=SimpleNamespace(lora_int_id=lora_id) if lora_id else None
            )
            for request_id, lora_id in adapters.items()
        }
        self.input_batch: Any = None
        self.num_prompt_logprobs = dict(asked)
        self.finished = set(asked)

    def _get_prompt_logprobs_dict(
        self, hidden_states: Any, num_scheduled_tokens: Mapping[str, int]
    ) -> dict[str, Any]:
        computed = {}
        asked = self.num_prompt_logprobs
        for request_id in asked:
            if request_id in num_scheduled_tokens:
                rows = num_scheduled_tokens[request_id]
                used = self.lora_manager._adapter_manager._last_mapping.prompt_mapping
                if len(used) not in (1, rows):
                    raise RuntimeError("einsum(): operands do not broadcast")
                computed[request_id] = used * rows if len(used) == 1 else used
        for request_id in computed:
            if request_id in self.finished:
                del asked[request_id]
        return {name: it for name, it in computed.items() if name in self.finished}

    def _pool(self, hidden_states: str) -> list[tuple[str, int]]:
        assert hidden_states == "rows"
        params = self.input_batch.pooling_params
        classified = []
        for task, group in itertools.groupby(params, lambda name: params[name].task):
            if task == "classify":
                _, head = self.lora_manager._adapter_manager._classification_head
                classified += head(list(group))
        return classified


# --- Prompts ---

ADAPTERS = {"a": 7, "b": 0, "c": 8}


@pytest.fixture(params=[True])
def runner_class(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The class, patched; its platform is a CPU unless the test says otherwise."""
    platform = SimpleNamespace(is_cpu=lambda: request.param)
    monkeypatch.setitem(sys.modules, "vllm.platforms", SimpleNamespace(current_platform=platform))
    patched: Any = type("GPUModelRunner", (GPUModelRunner,), {})
    adapter_rows.patch_gpu_model_runner(SimpleNamespace(GPUModelRunner=patched))
    return patched


# The numbers of rows include that of the step's list, with which vLLM raises nothing.
@pytest.mark.parametrize("rows", [1, 2, 3, 4])
def test_each_prompt_is_computed_with_its_own_adapter(runner_class: Any, rows: int) -> None:
    runner = runner_class(ADAPTERS, {"a": 1, "b": 0, "c": 5})
    computed = runner._get_prompt_logprobs_dict(None, dict.fromkeys(ADAPTERS, rows))
    assert computed == {name: (lora_id,) * rows for name, lora_id in ADAPTERS.items()}
    assert runner.num_prompt_logprobs == {}


def test_the_adapters_of_the_step_are_back_afterwards(runner_class: Any) -> None:
    runner = runner_class(ADAPTERS, {"c": 1})
    manager = runner.lora_manager._adapter_manager
    of_the_step = manager._last_mapping
    for _ in range(2):
        runner._get_prompt_logprobs_dict(None, {"c": 5})
        assert manager._last_mapping == of_the_step


def test_what_is_not_computed_to_its_end_is_asked_for_again(runner_class: Any) -> None:
    runner = runner_class(ADAPTERS, {"a": 1, "b": 2, "c": 3})
    runner.finished = {"a"}
    # "c" was preempted; "b" has another chunk.
    assert runner._get_prompt_logprobs_dict(None, {"a": 2, "b": 2}) == {"a": (7, 7)}
    assert runner.num_prompt_logprobs == {"b": 2, "c": 3}
    runner.finished = {"b", "c"}
    computed = runner._get_prompt_logprobs_dict(None, {"b": 1, "c": 2})
    assert (computed, runner.num_prompt_logprobs) == ({"b": (0,), "c": (8, 8)}, {})


def test_an_engine_without_adapters_computes_as_it_did(
    runner_class: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = runner_class(ADAPTERS, {"a": 1})
    runner.lora_config = None
    monkeypatch.setattr(runner.lora_manager._adapter_manager, "set_adapter_mapping", None)
    assert runner._get_prompt_logprobs_dict(None, {"a": 3}) == {"a": runner.of_the_step}


@pytest.mark.parametrize("runner_class", [False], indirect=True)
def test_nothing_is_changed_on_a_gpu(runner_class: Any) -> None:
    runner = runner_class(ADAPTERS, {"a": 1})
    assert runner._get_prompt_logprobs_dict(None, {"a": 3}) == {"a": runner.of_the_step}


# --- Classifiers ---


class Head:
    """As vLLM's head of a classifier: it wants as many rows as adapters."""

    def __init__(self, manager: Manager) -> None:
        self._manager = manager

    def __call__(self, rows: list[str]) -> list[tuple[str, int]]:
        return self.forward(rows)

    def forward(self, rows: list[str]) -> list[tuple[str, int]]:
        return list(zip(rows, self._manager._last_mapping.prompt_mapping, strict=True))


def pooling_runner(cls: Any, tasks: Mapping[str, str], *, has_head: bool = True) -> Any:
    runner = cls({name: n for n, name in enumerate(tasks)}, {})
    manager = runner.lora_manager._adapter_manager
    manager._classification_head = ("score", Head(manager)) if has_head else None
    runner.input_batch = SimpleNamespace(
        req_ids=list(tasks),
        pooling_params={name: SimpleNamespace(task=task) for name, task in tasks.items()},
    )
    return runner


@pytest.mark.parametrize("runner_class", [True, False], indirect=True)
@pytest.mark.parametrize("order", sorted({*itertools.permutations("ccctt")}))
def test_a_head_is_told_the_adapters_of_each_group(
    runner_class: Any, order: tuple[str, ...]
) -> None:
    tasks = {str(n): {"c": "classify", "t": "token_classify"}[it] for n, it in enumerate(order)}
    runner = pooling_runner(runner_class, tasks)
    manager = runner.lora_manager._adapter_manager
    of_the_step = manager._last_mapping
    for _ in range(2):
        classified = dict(runner._pool("rows"))
        assert classified == {name: int(name) for name in tasks if tasks[name] == "classify"}
        assert manager._last_mapping == of_the_step


def test_a_head_that_is_given_all_requests_has_the_list_of_the_step(
    runner_class: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = pooling_runner(runner_class, dict.fromkeys("abc", "classify"))
    monkeypatch.setattr(runner.lora_manager._adapter_manager, "set_adapter_mapping", None)
    assert runner._pool("rows") == [("a", 0), ("b", 1), ("c", 2)]


def test_a_model_whose_head_takes_no_adapters_pools_as_it_did(
    runner_class: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = pooling_runner(runner_class, {"a": "embed", "b": "token_embed"}, has_head=False)
    monkeypatch.setattr(runner.lora_manager._adapter_manager, "set_adapter_mapping", None)
    assert runner._pool("rows") == []
    runner.lora_config = runner.lora_manager = None
    assert runner._pool("rows") == []


def test_a_vllm_without_the_methods_stays_as_it_is() -> None:
    other = SimpleNamespace(GPUModelRunner=SimpleNamespace())
    adapter_rows.patch_gpu_model_runner(other)
    assert vars(other.GPUModelRunner) == {}
