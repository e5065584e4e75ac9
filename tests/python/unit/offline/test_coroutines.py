"""An LLMEngine as coroutines: the guards of AsyncLLM stand before its methods."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from python_worker.engines.guards.guarded import GUARDS as ASYNC_GUARDS
from python_worker.exceptions import Conflict, InvalidArgument
from python_worker.offline.coroutines import GUARDS, at_once


class Waiting:
    """Waits for ever."""

    def __await__(self) -> Generator[None, None, None]:
        yield


def test_the_guards_are_those_of_async_llm_in_their_order() -> None:
    assert [guard for guard in ASYNC_GUARDS if guard in GUARDS] == list(GUARDS)


def test_what_never_waits_is_done_at_once() -> None:
    async def add(a: int, b: int) -> int:
        return a + b

    assert at_once(add(1, 2)) == 3


def test_what_waits_may_not_be_done_at_once() -> None:
    async def wait() -> None:
        await Waiting()

    with pytest.raises(RuntimeError, match="waits, where it may not"):
        at_once(wait())


def test_a_prompt_is_checked_as_that_of_async_llm(engine: Any) -> None:
    with pytest.raises(InvalidArgument, match="out of vocabulary"):
        engine.add_request("r", [1000], None)
    assert engine.engine_core.sent == []


def test_an_adapter_is_checked_as_that_of_async_llm(engine: Any) -> None:
    engine.vllm_config.lora_config = None
    with pytest.raises(Exception, match="LoRA is not enabled"):
        engine.add_request("r", [1], None, None, object())


def test_other_methods_of_the_workers_are_refused_by_the_names_of_this_class(engine: Any) -> None:
    with pytest.raises(InvalidArgument, match=r"called by LLM\.start_weight_update"):
        engine.collective_rpc("start_weight_update")
    assert engine.calls == []


def test_a_call_of_the_workers_has_a_limit_of_time(engine: Any) -> None:
    with pytest.raises(TimeoutError, match=r"did not end within 0\.01 s"):
        engine.collective_rpc("check_health", 0.01)


def test_no_request_is_taken_while_weights_are_replaced(llm: Any) -> None:
    llm.llm_engine.engine_core.answers["collective_rpc"] = None
    llm.start_weight_update()
    with pytest.raises(Conflict, match="weight update is open"):
        llm.generate(["a"])
    with pytest.raises(Conflict, match="weight update is open"):
        llm.llm_engine.wake_up()
    assert llm.get_num_unfinished_requests() == 0
    llm.finish_weight_update()
    assert llm.enqueue(["a"]) == ["a"]


def test_an_update_does_not_begin_under_requests(llm: Any) -> None:
    llm.enqueue(["a"])
    with pytest.raises(Conflict, match="1 requests are running"):
        llm.start_weight_update()


def test_what_comes_while_engine_core_stops_is_its_death(engine: Any) -> None:
    error = Exception("Server shutting down")
    engine.engine_core.answers["x"] = error
    with pytest.raises(Exception, match="EngineCore") as raised:
        engine.engine_core.call_utility("x")
    assert raised.type.__name__ == "EngineDeadError"
