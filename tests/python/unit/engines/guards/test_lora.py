"""What a request's adapter must be before the request is sent."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from python_worker.engines.guards.guarded import compose
from python_worker.engines.guards.lora import (
    MAX_ID,
    LoRAGuard,
    adapter_named,
    loaded_adapters,
)
from python_worker.exceptions import InvalidArgument
from python_worker.testing.fake_vllm.errors import QueueOverflowError, VLLMValidationError
from tests.python.support.engine_class import CoreClient, EngineClass, configuration


@dataclass
class LoRA:
    """Stands in for a LoRARequest."""

    __struct_fields__: ClassVar[tuple[str, ...]] = ("lora_int_id", "lora_name", "load_inplace")
    lora_int_id: int
    lora_name: str = ""
    load_inplace: bool = False
    lora_path: str = "/adapter"
    is_3d_lora_weight: bool = False

    def __post_init__(self) -> None:
        self.lora_name = self.lora_name or f"adapter {self.lora_int_id}"


@pytest.fixture
def engine() -> Any:
    return compose(EngineClass, (LoRAGuard,))(configuration())


async def test_a_request_without_an_adapter_is_passed_on(engine: Any) -> None:
    await engine.add_request("r", [1], None, None, None, {}, priority=2)
    assert engine.calls == [("add_request", "r", [1], None, 2)]


async def test_an_adapter_is_loaded_before_its_request(engine: Any) -> None:
    await engine.add_request("r", [1], None, lora_request=LoRA(1, load_inplace=True), priority=2)
    loaded, (name, request_id, _, lora_request, priority) = engine.calls
    assert loaded == ("add_lora", 1)
    assert (name, request_id, priority) == ("add_request", "r", 2)
    # vLLM would load it anew at every step.
    assert lora_request == LoRA(1, load_inplace=False)


async def test_an_engine_without_adapters_refuses_them(engine: Any) -> None:
    engine.vllm_config.lora_config = None
    for refused in (
        engine.add_request("r", [1], None, lora_request=LoRA(1)),
        engine.add_lora(LoRA(1)),
        engine.remove_lora(1),
        engine.pin_lora(1),
        engine.list_loras(),
    ):
        with pytest.raises(VLLMValidationError, match="enable_lora=True"):
            await refused
    assert engine.calls == []


@pytest.mark.parametrize("lora_id", [0, -1, MAX_ID + 1])
async def test_an_id_that_does_not_fit_is_refused(engine: Any, lora_id: int) -> None:
    for refused in (
        engine.add_request("r", [1], None, lora_request=LoRA(lora_id)),
        engine.add_lora(LoRA(lora_id)),
        engine.remove_lora(lora_id),
        engine.pin_lora(lora_id),
    ):
        with pytest.raises(VLLMValidationError, match=f"wants an id from 1 to {MAX_ID}"):
            await refused
    assert engine.calls == []


async def test_adapters_come_and_go_by_their_methods(engine: Any) -> None:
    assert await engine.add_lora(LoRA(1)) is True
    assert await engine.pin_lora(1) is True
    assert await engine.list_loras() == {1, 2}
    assert await engine.remove_lora(1) is True
    assert engine.calls == [("add_lora", 1), ("pin_lora", 1), ("remove_lora", 1)]


async def test_pins_leave_slots_to_requests(engine: Any) -> None:
    """There are two slots, and EngineCore lists adapters 1 and 2."""
    await engine.pin_lora(1)
    await engine.pin_lora(2)
    with pytest.raises(QueueOverflowError, match="2 of 2 slots hold pinned adapters"):
        await engine.add_request("r", [1], None, lora_request=LoRA(3))
    with engine._adapters_in_use.arrival(LoRA(2)):
        with pytest.raises(QueueOverflowError, match="pinning adapter 3 would leave too few"):
            await engine.pin_lora(3)
        await engine.add_request("r", [1], None, lora_request=LoRA(2))


async def test_a_pin_that_the_engine_has_dropped_holds_no_slot(engine: Any) -> None:
    await engine.pin_lora(1)
    await engine.pin_lora(7)
    await engine.add_request("r", [1], None, lora_request=LoRA(3))
    assert engine._adapters.pinned == {1}


async def test_a_name_of_another_adapter_is_refused(engine: Any) -> None:
    with (
        engine._adapters_in_use.arrival(LoRA(1, "mine")),
        pytest.raises(VLLMValidationError, match="'mine' is the name of adapter 1"),
    ):
        await engine.add_request("r", [1], None, lora_request=LoRA(2, "mine"))


async def test_a_folder_that_may_hold_other_weights_gets_a_salt_of_its_own(engine: Any) -> None:
    async def salt(lora_request: LoRA | None) -> str | None:
        await engine.add_request("r", [1], None, lora_request=lora_request)
        given: str | None = engine.engine_core.sent[-1].cache_salt
        return given

    assert [await salt(None), await salt(LoRA(1)), await salt(LoRA(1))] == [None] * 3
    await engine.add_lora(LoRA(1, load_inplace=True))
    replaced = await salt(LoRA(1))
    assert replaced is not None
    assert replaced == await salt(LoRA(1))
    await engine.remove_lora(1)
    assert await salt(LoRA(1)) not in (None, replaced)
    assert [await salt(None), await salt(LoRA(2, lora_path="/other"))] == [None] * 2


async def test_without_adapters_requests_are_sent_as_before() -> None:
    config = configuration()
    config.lora_config = None
    engine: Any = compose(EngineClass, (LoRAGuard,))(config)
    assert engine.engine_core.add_request_async.__func__ is CoreClient.add_request_async


@pytest.mark.parametrize("served", ["served", ["served", "also"]])
async def test_a_name_is_that_of_the_model_or_of_a_loaded_adapter(
    engine: Any, served: str | list[str]
) -> None:
    engine.model_config = SimpleNamespace(served_model_name=served, model="/models/m")
    names = ["served", "also"] if isinstance(served, list) else ["served"]
    for name in (None, "/models/m", *names):
        assert adapter_named(engine, name) is None
    await engine.add_lora(LoRA(2, "b"))
    await engine.add_lora(LoRA(1, "a"))
    assert adapter_named(engine, "a") == LoRA(1, "a")
    assert sorted(it.lora_name for it in loaded_adapters(engine)) == ["a", "b"]
    listed = ", ".join([*names, "a", "b"])
    with pytest.raises(InvalidArgument, match=rf"no 'c'; this engine has {listed}\.") as refused:
        adapter_named(engine, "c")
    assert refused.value.details["parameter"] == "model"


def test_the_largest_id_is_what_a_signed_number_of_eight_bytes_holds() -> None:
    assert MAX_ID == 0x7FFF_FFFF_FFFF_FFFF
