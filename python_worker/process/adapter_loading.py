"""Loads of adapters in vLLM's processes: checked first, and undone where they fail.

vLLM removes the adapter that an id has, registers the new one and copies its weights into a slot;
what fails in the middle leaves a half-loaded adapter, which answers from then on, and others that
had to give way are gone. Here a load that fails leaves everything as it was. EngineCore runs
one call after the other, and no step between, so nobody sees the middle.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

from python_worker.process.adapter_weights import (
    BASE_TENSORS,
    EMPTY_TARGETS,
    UNKNOWN_MODULES,
    Report,
    check_fit,
    check_tensors,
    check_weights,
    module_names,
    report_of,
    tell_unused,
    untouched_targets,
)

ADAPTER_MODEL = "vllm.lora.lora_model"
WORKER_MANAGER = "vllm.lora.worker_manager"
WORKER_BASE = "vllm.v1.worker.worker_base"

AS_BEFORE = "this process has the adapters that it had before"
"""The end of the message of a load that failed and was undone."""

# What an adapter has beside its weights for modules, and vLLM passes over.
UNUSED = "_python_worker_unused"

REPORTS = "_python_worker_reports"
"""The attribute of vLLM's worker manager with the reports on its adapters, by their ids."""

REPORT_METHOD = "_python_worker_adapter_report"
"""The method of vLLM's workers that returns the report on an adapter. No client can call it."""

MAX_REPORTS = 1024
"""How many reports a process keeps; each is read when its adapter has just been loaded."""


# --- Reading an adapter ---


def patch_adapter_model(module: Any) -> None:
    """Patches vLLM's module ``lora_model``: what it reads is checked."""
    read: Callable[..., Any] = module.LoRAModel.from_lora_tensors.__func__
    is_of_base = getattr(module, "is_base_embedding_weights", lambda name: False)

    def from_lora_tensors(
        cls: Any, /, lora_model_id: int, tensors: Mapping[str, Any], peft_helper: Any, **kwargs: Any
    ) -> Any:
        check_tensors(tensors, kwargs.get("dtype"))
        adapter = read(cls, lora_model_id, tensors, peft_helper, **kwargs)
        for name, weights in adapter.loras.items():
            check_weights(name, weights)
        modules = {*adapter.loras, *adapter.modules_to_save}
        unused = {
            BASE_TENSORS: [name for name in tensors if is_of_base(name)],
            EMPTY_TARGETS: untouched_targets(peft_helper.target_modules, modules),
        }
        setattr(adapter, UNUSED, unused)
        return adapter

    module.LoRAModel.from_lora_tensors = classmethod(from_lora_tensors)


# --- Loading it ---


def patch_worker_manager(module: Any) -> None:
    """Patches vLLM's module ``worker_manager``: loads and pins that fail are undone."""
    base, cls = module.WorkerLoRAManager, module.LRUCacheWorkerLoRAManager
    base._load_adapter = fitting(base._load_adapter, module.logger.warning)
    cls.add_adapter = undone_on_failure(cls.add_adapter, is_loaded)
    cls.pin_adapter = undone_on_failure(cls.pin_adapter)


def fitting(load: Callable[..., Any], warn: Callable[..., object]) -> Callable[..., Any]:
    """Returns the method, changed to refuse an adapter that is not for the model."""

    @functools.wraps(load)
    def patched(self: Any, lora_request: Any) -> Any:
        adapter = load(self, lora_request)
        unknown = check_fit(adapter, self._adapter_manager)
        unused = {UNKNOWN_MODULES: unknown, **getattr(adapter, UNUSED, {})}
        tell_unused(warn, lora_request.lora_path, unused)
        report = report_of(unused, lambda: module_names(self._adapter_manager))
        keep_report(self, lora_request.lora_int_id, report)
        return adapter

    return patched


def keep_report(manager: Any, lora_id: int, report: Report | None) -> None:
    """Keep what there is to tell of an adapter, in place of what there was."""
    reports: dict[int, Report] = vars(manager).setdefault(REPORTS, {})
    reports.pop(lora_id, None)
    if report is not None:
        reports[lora_id] = report
    if len(reports) > MAX_REPORTS:
        del reports[next(iter(reports))]


def patch_worker_base(module: Any) -> None:
    """Patches vLLM's module ``worker_base``: workers can be asked for a report.

    What a load returns is a bool on its way through vLLM's executors, and a log is no answer.
    """

    def adapter_report(self: Any, lora_id: int) -> Report | None:
        manager = getattr(self.model_runner, "lora_manager", None)
        reports: dict[int, Report] = getattr(manager, REPORTS, {})
        return reports.get(lora_id)

    setattr(module.WorkerBase, REPORT_METHOD, adapter_report)


def is_loaded(manager: Any, lora_request: Any) -> bool:
    """Whether a call to load an adapter has nothing to load, as in every step with an adapter."""
    return lora_request.lora_int_id in manager._registered_adapters and not (
        lora_request.load_inplace
    )


def undone_on_failure(
    change: Callable[..., Any], is_unchanging: Callable[[Any, Any], bool] = lambda *_: False
) -> Callable[..., Any]:
    """Returns a method that changes the adapters, changed to have no effect where it fails.

    Args:
        change: The method of vLLM's worker manager.
        is_unchanging: Whether a call changes nothing, from the manager of the adapters and the
            argument; then nothing is remembered for it.
    """

    @functools.wraps(change)
    def patched(self: Any, argument: Any) -> Any:
        manager = self._adapter_manager
        if is_unchanging(manager, argument):
            return change(self, argument)
        before = AdaptersState(manager)
        try:
            return change(self, argument)
        except Exception as error:
            before.restore(manager)
            text = str(error) or type(error).__name__
            raise RuntimeError(f"{text}; {AS_BEFORE}") from error

    return patched


class AdaptersState:
    """The adapters of a manager of vLLM's: which there are, in which order, slot and state.

    Args:
        manager: An ``LRUCacheLoRAModelManager``.
    """

    def __init__(self, manager: Any) -> None:
        registered, active = manager._registered_adapters, manager._active_adapters
        self._adapters = {lora_id: registered.cache[lora_id] for lora_id in registered.order}
        self._pinned = set(registered.pinned_items)
        self._active = list(active.order)
        self._active_pinned = set(active.pinned_items)
        self._slots = list(manager.lora_index_to_id)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AdaptersState) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment] # the state of something that changes

    def restore(self, manager: Any) -> None:
        """Give the manager these adapters back, with their weights in the slots."""
        if AdaptersState(manager) == self:
            return
        manager.remove_all_adapters()
        for lora_id, adapter in self._adapters.items():
            manager._registered_adapters[lora_id] = adapter
        for lora_id in self._active:
            manager.activate_adapter(lora_id)
        manager._registered_adapters.pinned_items |= self._pinned
        manager._active_adapters.pinned_items |= self._active_pinned
