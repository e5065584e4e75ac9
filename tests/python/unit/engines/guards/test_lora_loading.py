"""Adapters are loaded, pinned and removed one call after the other for each id.

What many callers at once make of it is tested with vLLM's own classes in ``vllm/test_lora.py``.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest

from python_worker.engines.guards.lora_loading import (
    Adapters,
    VllmCalls,
    changed,
    explained,
    fields,
    leaves_adapter,
    with_absolute_path,
)
from python_worker.process.adapter_loading import AS_BEFORE
from python_worker.testing.fake_vllm.errors import (
    QueueOverflowError,
    VLLMNotFoundError,
    VLLMValidationError,
)
from tests.python.support.engine_class import EngineClass

MISFIT = Exception("Call to add_lora method failed: The size of tensor a (64) must match")
UNDONE = Exception(f"Call to add_lora method failed: The size of tensor a; {AS_BEFORE}")


@dataclass
class LoRA:
    """Stands in for a LoRARequest."""

    __struct_fields__: ClassVar[tuple[str, ...]] = (
        "lora_name",
        "lora_int_id",
        "lora_path",
        "load_inplace",
        "is_3d_lora_weight",
    )
    lora_int_id: int = 1
    lora_path: str = "/adapter"
    lora_name: str = "mine"
    load_inplace: bool = False
    is_3d_lora_weight: bool = False


class Vllm(EngineClass):
    """Calls that fail when told to."""

    error: Exception | None = None

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[int] = []
        self.report: object = [None]

    async def add_lora(self, lora_request: Any) -> bool:
        await super().add_lora(lora_request)
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        return True

    async def reports(self, lora_id: int) -> object:
        self.asked.append(lora_id)
        if isinstance(self.report, Exception):
            raise self.report
        return self.report

    async def pin_lora(self, lora_id: int) -> bool:
        await super().pin_lora(lora_id)
        if self.error is not None:
            raise self.error
        return True


@pytest.fixture
def vllm() -> Vllm:
    return Vllm()


@pytest.fixture
def adapters(vllm: Vllm) -> Adapters:
    return Adapters(vllm, calls_of(vllm))


def calls_of(vllm: Vllm) -> VllmCalls:
    return VllmCalls(vllm.add_lora, vllm.remove_lora, vllm.pin_lora, vllm.list_loras, vllm.reports)


async def room() -> None:
    """There is some."""


async def test_loads_of_one_request_are_one_load(adapters: Adapters, vllm: Vllm) -> None:
    results = await asyncio.gather(*(adapters.load(LoRA()) for _ in range(3)))
    assert [added for added, _ in results] == [True] * 3
    assert vllm.calls == [("add_lora", 1)]
    assert not adapters._loads


async def test_each_load_in_place_is_meant(adapters: Adapters, vllm: Vllm) -> None:
    await adapters.pin(1, room)
    await asyncio.gather(*(adapters.load(LoRA(load_inplace=True)) for _ in range(2)))
    assert vllm.calls.count(("add_lora", 1)) == 2
    assert adapters.pinned == set()


async def test_a_misfit_is_removed_and_explained(adapters: Adapters, vllm: Vllm) -> None:
    vllm.error = MISFIT
    with pytest.raises(VLLMValidationError, match="'mine' in /adapter cannot be loaded: The size"):
        await adapters.load(LoRA())
    assert vllm.calls == [("add_lora", 1), ("remove_lora", 1)]


async def test_an_id_stands_for_what_it_was_loaded_with(adapters: Adapters) -> None:
    await adapters.load(LoRA())
    _, loaded = await adapters.load(LoRA(lora_path="/never/read"))
    assert loaded.lora_path == "/adapter"
    await adapters.remove(1)
    _, loaded = await adapters.load(LoRA(lora_path="/other"))
    assert loaded.lora_path == "/other"


async def test_a_pin_counts_from_its_beginning_and_not_if_it_fails(
    adapters: Adapters, vllm: Vllm
) -> None:
    vllm.error = Exception(
        "Call to pin_lora method failed: Pinning failed. LoRA 1 is not registered."
    )
    with pytest.raises(VLLMNotFoundError, match="adapter 1 cannot be pinned"):
        await adapters.pin(1, room)
    assert adapters.pinned == set()
    vllm.error = None
    await adapters.pin(1, room)
    await adapters.pin(7, room)
    assert adapters.pinned == {1, 7}
    await adapters.drop_gone()
    assert adapters.pinned == {1}


async def test_without_room_nothing_is_pinned(adapters: Adapters, vllm: Vllm) -> None:
    async def full() -> None:
        raise QueueOverflowError("full")

    with pytest.raises(QueueOverflowError):
        await adapters.pin(1, full)
    assert (adapters.pinned, vllm.calls) == (set(), [])


@pytest.mark.parametrize(
    ("error", "processes", "left"),
    [
        (MISFIT, 1, True),
        (UNDONE, 1, False),
        (UNDONE, 2, True),
        (RuntimeError("The size of tensor a"), 1, False),
    ],
)
def test_which_failures_leave_an_adapter(error: Exception, processes: int, left: bool) -> None:
    assert leaves_adapter(error, processes) == left


async def test_a_load_that_was_undone_leaves_an_id_what_it_was(
    adapters: Adapters, vllm: Vllm
) -> None:
    await adapters.load(LoRA())
    await adapters.pin(1, room)
    vllm.error = UNDONE
    with pytest.raises(VLLMValidationError) as caught:
        await adapters.load(LoRA(lora_path="/other", load_inplace=True))
    assert str(caught.value) == "adapter 'mine' in /other cannot be loaded: The size of tensor a"
    assert ("remove_lora", 1) not in vllm.calls
    assert adapters.pinned == {1}
    vllm.error = None
    _, loaded = await adapters.load(LoRA(lora_path="/never/read"))
    assert loaded.lora_path == "/adapter"


async def test_with_several_processes_a_load_that_fails_leaves_no_adapter(vllm: Vllm) -> None:
    calls = calls_of(vllm)
    adapters = Adapters(vllm, calls, processes=2)
    await adapters.load(LoRA())
    await adapters.pin(1, room)
    vllm.error = UNDONE
    with pytest.raises(VLLMValidationError):
        await adapters.load(LoRA(load_inplace=True))
    assert vllm.calls[-1] == ("remove_lora", 1)
    assert adapters.pinned == set()


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Loading lora mine failed: No adapter found for /x", VLLMNotFoundError),
        ("Pinning failed. LoRA 3 is not registered.", VLLMNotFoundError),
        ("All items are pinned, cannot remove oldest from the cache.", QueueOverflowError),
        ("No free lora slots", QueueOverflowError),
        ("rank 64 is too much", VLLMValidationError),
    ],
)
def test_what_was_said_is_told_as_whose_fault_it_was(text: str, kind: type[Exception]) -> None:
    by_worker = (
        f"Call to x method failed: Worker failed with error '{text}', please check the stack trace "
        "above for the root cause"
    )
    for message in (f"Call to x method failed: {text}", by_worker):
        error = explained(Exception(message), "adapter 3")
        assert type(error) is kind
        assert str(error).startswith(f"adapter 3: {text}")
        assert "Worker failed" not in str(error)


@pytest.mark.parametrize("error", [Exception("other"), ValueError("Call to x method failed: y")])
def test_other_errors_stay(error: Exception) -> None:
    assert explained(error, "adapter 3") is error


async def test_a_path_is_made_absolute() -> None:
    given = LoRA(lora_path="hub/name")
    assert (await with_absolute_path(given)).lora_path == "/found"
    assert given.lora_path == "hub/name"
    with pytest.raises(VLLMNotFoundError, match="no adapter in nowhere"):
        await with_absolute_path(LoRA(lora_path="nowhere"))


def test_all_fields_tell_requests_apart() -> None:
    assert fields(LoRA()) == fields(LoRA())
    assert fields(changed(LoRA(), load_inplace=True)) != fields(LoRA())


async def test_what_is_not_used_of_an_adapter_is_asked_for_once_a_load(
    adapters: Adapters, vllm: Vllm
) -> None:
    vllm.report = [
        {"unknown_modules": ["b"], "model_modules": ["m"]},
        None,
        {"unknown_modules": ["a"]},
    ]
    for _ in range(3):
        await adapters.load(LoRA())
    assert vllm.asked == [1]
    (used,) = adapters.take_partly_used()
    assert used.lora_request.lora_path == "/adapter"
    assert used.names == {"unknown_modules": ["a", "b"], "model_modules": ["m"]}
    assert list(adapters.take_partly_used()) == []
    await adapters.load(LoRA(load_inplace=True))
    await adapters.remove(1)
    await adapters.load(LoRA())
    assert vllm.asked == [1, 1, 1]
    assert len(list(adapters.take_partly_used())) == 2


@pytest.mark.parametrize("report", [[None], [], ("collective_rpc", 1), {}, None, [{}]])
async def test_an_adapter_that_is_used_as_a_whole_is_not_told_of(
    adapters: Adapters, vllm: Vllm, report: object
) -> None:
    vllm.report = report
    await adapters.load(LoRA())
    assert list(adapters.take_partly_used()) == []


async def test_a_report_that_cannot_be_had_does_not_fail_the_load(
    adapters: Adapters, vllm: Vllm, caplog: pytest.LogCaptureFixture
) -> None:
    vllm.report = RuntimeError("no such method")
    assert (await adapters.load(LoRA()))[0]
    assert "what of an adapter is not used cannot be told: no such method" in caplog.text
