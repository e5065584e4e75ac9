"""Loads that fail are undone, on stand-ins that fail in the middle, as vLLM's classes do.

With vLLM's own classes: ``vllm/test_tensors.py``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from python_worker.process import adapter_loading
from python_worker.process.adapter_loading import (
    AS_BEFORE,
    MAX_REPORTS,
    REPORT_METHOD,
    REPORTS,
    UNUSED,
    AdaptersState,
    keep_report,
    patch_worker_base,
)
from python_worker.process.adapter_weights import (
    BASE_TENSORS,
    EMPTY_TARGETS,
    MODEL_MODULES,
    UNKNOWN_MODULES,
)


class Cache(dict[int, Any]):
    """As vLLM's LRUCache, as far as it is used."""

    def __init__(self) -> None:
        super().__init__()
        self.pinned_items: set[int] = set()

    @property
    def cache(self) -> Any:
        return self

    @property
    def order(self) -> Any:
        return list(self)

    def forget(self, lora_id: int) -> None:
        self.pop(lora_id, None)
        self.pinned_items.discard(lora_id)


class Manager:
    """As vLLM's manager of adapters: two slots, room for two adapters."""

    def __init__(self) -> None:
        self._registered_adapters = Cache()
        self._active_adapters = Cache()
        self.lora_index_to_id: list[int | None] = [None, None]
        self.weights: list[Any] = [None, None]

    def register(self, lora_id: int, adapter: Any) -> None:
        self.remove(lora_id)
        if len(self._registered_adapters) == 2:
            self.remove(next(iter(self._registered_adapters)))
        self._registered_adapters[lora_id] = adapter

    def activate_adapter(self, lora_id: int) -> None:
        slot = self.lora_index_to_id.index(None)
        self._active_adapters[lora_id] = None
        self.lora_index_to_id[slot] = lora_id
        adapter = self._registered_adapters[lora_id]
        self.weights[slot] = f"half of {adapter}"
        if isinstance(adapter, Exception):
            raise adapter
        self.weights[slot] = adapter

    def remove(self, lora_id: int) -> None:
        self._registered_adapters.forget(lora_id)
        self._active_adapters.forget(lora_id)
        if lora_id in self.lora_index_to_id:
            self.lora_index_to_id[self.lora_index_to_id.index(lora_id)] = None

    def remove_all_adapters(self) -> None:
        for lora_id in list(self._registered_adapters):
            self.remove(lora_id)


def made_module() -> Any:
    """As vLLM's module ``worker_manager``."""

    class WorkerLoRAManager:
        def _load_adapter(self, lora_request: Any) -> Any:
            return lora_request.adapter

    class LRUCacheWorkerLoRAManager(WorkerLoRAManager):
        def __init__(self) -> None:
            self._adapter_manager: Any = Manager()
            self.unchanging = 0

        def add_adapter(self, lora_request: Any) -> bool:
            manager = self._adapter_manager
            if adapter_loading.is_loaded(manager, lora_request):
                self.unchanging += 1
                return True
            manager.register(lora_request.lora_int_id, self._load_adapter(lora_request))
            manager.activate_adapter(lora_request.lora_int_id)
            return True

        def pin_adapter(self, lora_id: int) -> bool:
            self._adapter_manager._registered_adapters.pinned_items.add(lora_id)
            if lora_id not in self._adapter_manager._active_adapters:
                raise ValueError("All items are pinned")
            self._adapter_manager._active_adapters.pinned_items.add(lora_id)
            return True

    return SimpleNamespace(
        WorkerLoRAManager=WorkerLoRAManager,
        LRUCacheWorkerLoRAManager=LRUCacheWorkerLoRAManager,
        logger=SimpleNamespace(warning=lambda *args: None),
    )


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Any:
    module = made_module()
    monkeypatch.setattr(adapter_loading, "check_fit", lambda adapter, manager: [])
    adapter_loading.patch_worker_manager(module)
    return module.LRUCacheWorkerLoRAManager()


def request(lora_id: int, adapter: Any, load_inplace: bool = False) -> Any:
    return SimpleNamespace(
        lora_int_id=lora_id, adapter=adapter, load_inplace=load_inplace, lora_path="/adapter"
    )


@pytest.mark.parametrize(("lora_id", "inplace"), [(3, False), (1, True), (2, True)])
@pytest.mark.parametrize("error", [IndexError("tuple index out of range"), KeyError(), OSError()])
def test_a_load_that_fails_leaves_everything_as_it_was(
    worker: Any, lora_id: int, inplace: bool, error: Exception
) -> None:
    worker.add_adapter(request(1, "meow"))
    worker.add_adapter(request(2, "woof"))
    worker.pin_adapter(2)
    manager = worker._adapter_manager
    before = AdaptersState(manager)
    with pytest.raises(RuntimeError, match=f"^(tuple|KeyError|OSError).*; {AS_BEFORE}$"):
        worker.add_adapter(request(lora_id, error, load_inplace=inplace))
    assert AdaptersState(manager) == before
    assert manager.weights == ["meow", "woof"]
    worker.add_adapter(request(3, "quack"))
    assert set(manager._registered_adapters) == {2, 3}


def test_a_pin_that_fails_pins_nothing(worker: Any) -> None:
    worker._adapter_manager.register(1, "meow")
    with pytest.raises(RuntimeError, match="All items are pinned; "):
        worker.pin_adapter(1)
    assert set(worker._adapter_manager._registered_adapters) == {1}
    assert worker._adapter_manager._registered_adapters.pinned_items == set()


def test_a_step_with_a_loaded_adapter_remembers_nothing(
    worker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker.add_adapter(request(1, "meow"))
    monkeypatch.setattr(adapter_loading, "AdaptersState", None)
    assert worker.add_adapter(request(1, "meow"))
    assert worker.unchanging == 1


def test_what_does_not_fit_is_refused_before_anything_is_changed(
    worker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(adapter: Any, manager: Any) -> list[str]:
        raise ValueError("no module of the adapter is one of the model's")

    monkeypatch.setattr(adapter_loading, "check_fit", refuse)
    with pytest.raises(RuntimeError, match=f"no module of .*; {AS_BEFORE}"):
        worker.add_adapter(request(1, "meow"))
    assert worker._adapter_manager.weights == [None, None]


def test_what_is_not_used_is_told(worker: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []
    monkeypatch.setattr(adapter_loading, "check_fit", lambda adapter, manager: ["layers.7.o_proj"])
    monkeypatch.setattr(adapter_loading, "tell_unused", lambda *args: told.append(args[1:]))
    monkeypatch.setattr(adapter_loading, "module_names", lambda manager: {"layers.0.q_proj"})
    adapter = SimpleNamespace(**{UNUSED: {EMPTY_TARGETS: ["k_proj"]}})
    worker.add_adapter(request(1, adapter))
    unused = {UNKNOWN_MODULES: ["layers.7.o_proj"], EMPTY_TARGETS: ["k_proj"]}
    assert told == [("/adapter", unused)]
    assert getattr(worker, REPORTS) == {
        1: {
            UNKNOWN_MODULES: ["layers.*.o_proj"],
            EMPTY_TARGETS: ["k_proj"],
            MODEL_MODULES: ["layers.*.q_proj"],
        }
    }


# --- Reading an adapter ---


def read_by(made: Callable[[Any], Any]) -> Any:
    """As vLLM's module ``lora_model``, patched."""

    class LoRAModel:
        @classmethod
        def from_lora_tensors(
            cls, lora_model_id: int, tensors: Any, peft_helper: Any, dtype: Any = None
        ) -> Any:
            return made(tensors)

    module = SimpleNamespace(
        LoRAModel=LoRAModel, is_base_embedding_weights=lambda name: name.endswith("base_layer")
    )
    adapter_loading.patch_adapter_model(module)
    return module.LoRAModel


def adapter_of(tensors: Any) -> Any:
    tensor = tensors["o_proj"]
    made = SimpleNamespace(rank=1, scaling=1.0, lora_a=tensor[:1], lora_b=tensor[:, :1])
    return SimpleNamespace(loras={"o_proj": made}, modules_to_save={})


def test_what_is_read_is_checked_and_what_is_passed_over_is_noted() -> None:
    helper = SimpleNamespace(target_modules=["o_proj", "k_proj"])
    tensors = {"o_proj": torch.ones(2, 2), "head.base_layer": torch.ones(1)}
    model = read_by(adapter_of)
    read = model.from_lora_tensors(
        lora_model_id=1, tensors=tensors, peft_helper=helper, dtype=torch.float16
    )
    assert getattr(read, UNUSED) == {
        BASE_TENSORS: ["head.base_layer"],
        EMPTY_TARGETS: ["k_proj"],
    }
    tensors["o_proj"][0, 1] = 1e38
    with pytest.raises(ValueError, match=r"o_proj\[0, 1\]: .* infinite as float16"):
        model.from_lora_tensors(1, tensors, helper, dtype=torch.float16)
    tensors["o_proj"][0, 1] = math.nan
    with pytest.raises(ValueError, match="got nan"):
        model.from_lora_tensors(1, tensors, helper)


def test_a_worker_is_asked_for_what_of_an_adapter_is_not_used() -> None:
    module = SimpleNamespace(WorkerBase=type("WorkerBase", (), {}))
    patch_worker_base(module)
    worker = module.WorkerBase()
    worker.model_runner = SimpleNamespace()
    ask = getattr(worker, REPORT_METHOD)
    assert ask(1) is None, "no adapters at all"
    manager = worker.model_runner.lora_manager = SimpleNamespace()
    assert ask(1) is None
    keep_report(manager, 1, {UNKNOWN_MODULES: ["a"]})
    keep_report(manager, 2, None)
    assert ask(1) == {UNKNOWN_MODULES: ["a"]}
    assert ask(2) is None
    keep_report(manager, 1, None)
    assert ask(1) is None


def test_the_reports_of_the_last_adapters_are_kept() -> None:
    manager: Any = SimpleNamespace()
    for lora_id in range(MAX_REPORTS + 2):
        keep_report(manager, lora_id, {UNKNOWN_MODULES: []})
    (reports,) = vars(manager).values()
    assert list(reports) == list(range(2, MAX_REPORTS + 2))
