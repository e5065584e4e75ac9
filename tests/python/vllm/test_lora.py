"""What many callers at once, and those that leave, make of adapters.

EngineCore is a double that loads and keeps adapters as vLLM's does: its calls are served in the
order in which they came, an adapter that does not fit stays registered, and a step that meets such
a one is the end. Which files fail, and how, `tests/elixir/vllm/lora_errors_test.exs` shows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from python_worker.engines import core_calls
from python_worker.engines.guards.guarded import compose
from python_worker.engines.guards.lora import LoRAGuard

WIDE = "/wide"
MISFIT = "Call to add_lora method failed: The size of tensor a (64) must match"


class Base:
    """vLLM's AsyncLLM, as far as adapters go, with its EngineCore."""

    def __init__(self, slots: int = 4) -> None:
        self.vllm_config = SimpleNamespace(
            lora_config=SimpleNamespace(max_loras=slots),
            parallel_config=SimpleNamespace(world_size_across_dp=1),
        )
        self.output_processor = SimpleNamespace(request_states={})
        self.engine_core = SimpleNamespace(add_request_async=None)
        self.errored = False
        self.dead_error = RuntimeError("EngineCore ended")
        self.held = False
        self.calls: list[str] = []
        self.paths: dict[int, str] = {}
        self._inbox: list[tuple[asyncio.Future[Any], Callable[[], Any]]] = []

    # --- EngineCore ---

    async def _send(self, name: str, work: Callable[[], Any]) -> Any:
        loop = asyncio.get_running_loop()
        self.calls.append(name)
        self._inbox.append((loop.create_future(), work))
        future = self._inbox[-1][0]
        loop.call_soon(self.serve)
        return await future

    def serve(self) -> None:
        while self._inbox and not self.held:
            future, work = self._inbox.pop(0)
            try:
                result = work()
            except Exception as error:
                if not future.cancelled():
                    future.set_exception(error)
            else:
                if not future.cancelled():
                    future.set_result(result)

    def release(self) -> None:
        self.held = False
        self.serve()

    def core_add(self, lora_request: Any) -> bool:
        new = lora_request.lora_int_id not in self.paths or lora_request.load_inplace
        if new:
            self.paths[lora_request.lora_int_id] = lora_request.lora_path
            if lora_request.lora_path == WIDE:
                raise Exception(MISFIT)
        return True

    def step(self, lora_request: Any) -> None:
        if self.paths.setdefault(lora_request.lora_int_id, lora_request.lora_path) == WIDE:
            self.errored = True

    def core_pin(self, lora_id: int) -> bool:
        if lora_id not in self.paths:
            raise Exception(f"Call to pin_lora method failed: LoRA {lora_id} is not registered")
        return True

    # --- AsyncLLM ---

    async def add_request(
        self, request_id: str, _prompt: Any, _params: Any, _time: Any, lora_request: Any
    ) -> Any:
        self.output_processor.request_states[request_id] = SimpleNamespace(
            lora_request=lora_request
        )
        await self._send("step", lambda: self.step(lora_request))
        return lora_request

    async def add_lora(self, lora_request: Any) -> Any:
        return await self._send("add", lambda: self.core_add(lora_request))

    async def remove_lora(self, lora_id: int) -> Any:
        return await self._send("remove", lambda: self.paths.pop(lora_id, None) is not None)

    async def pin_lora(self, lora_id: int) -> Any:
        return await self._send("pin", lambda: self.core_pin(lora_id))

    async def list_loras(self) -> Any:
        return await self._send("list", lambda: list(self.paths))


@pytest.fixture(scope="module")
def engine_class() -> Any:
    return compose(Base, (LoRAGuard,))


@pytest.fixture
def engine(engine_class: Any) -> Any:
    return engine_class()


def lora(lora_id: int, path: str = "/good", **fields: Any) -> Any:
    from vllm.lora.request import LoRARequest

    return LoRARequest(f"adapter {lora_id}", lora_id, path, **fields)


def ask(engine: Any, request_id: str, lora_request: Any) -> asyncio.Task[Any]:
    return asyncio.ensure_future(
        engine.add_request(request_id, "Hello", None, lora_request=lora_request)
    )


async def settled(engine: Any) -> None:
    await asyncio.gather(*engine._adapters._calls._running, return_exceptions=True)


async def until_sent(engine: Any, name: str) -> None:
    while name not in engine.calls:  # noqa: ASYNC110 - an EngineCore tells nobody
        await asyncio.sleep(0)


# --- An adapter that does not fit ---


async def test_a_misfit_that_many_ask_for_at_once_ends_no_engine(engine: Any) -> None:
    requests = [ask(engine, str(n), lora(1, WIDE)) for n in range(20)]
    adds = [asyncio.ensure_future(engine.add_lora(lora(1, WIDE))) for _ in range(5)]
    for result in await asyncio.gather(*requests, *adds, return_exceptions=True):
        assert "cannot be loaded: The size of tensor" in str(result)
    assert (engine.paths, engine.errored) == ({}, False)
    assert engine.calls == ["add", "remove"]


async def test_a_good_adapter_of_a_misfits_id_waits_for_its_end(engine: Any) -> None:
    misfit, good = ask(engine, "a", lora(1, WIDE)), ask(engine, "b", lora(1))
    results = await asyncio.gather(misfit, good, return_exceptions=True)
    assert "cannot be loaded" in str(results[0])
    assert results[1] == lora(1)
    assert engine.calls == ["add", "remove", "add", "step"]
    assert (engine.paths, engine.errored) == ({1: "/good"}, False)


@pytest.mark.parametrize("load_inplace", [False, True])
async def test_a_misfit_whose_caller_leaves_is_removed(engine: Any, load_inplace: bool) -> None:
    engine.held = True
    leaving = ask(engine, "a", lora(1, WIDE, load_inplace=load_inplace))
    await until_sent(engine, "add")
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    late = ask(engine, "b", lora(1))
    engine.release()
    assert (await late).lora_path == "/good"
    assert (engine.paths, engine.errored) == ({1: "/good"}, False)


async def test_a_path_that_was_never_read_reaches_no_step(engine: Any) -> None:
    await engine.add_lora(lora(1))
    request = await ask(engine, "a", lora(1, WIDE))
    assert request.lora_path == "/good"
    await engine.remove_lora(1)
    engine.step(request)
    assert not engine.errored
    # The id is free again.
    await engine.remove_lora(1)
    with pytest.raises(Exception, match="cannot be loaded"):
        await ask(engine, "b", lora(1, WIDE))


# --- Callers that leave ---


async def test_a_pin_whose_caller_leaves_is_counted(engine: Any) -> None:
    await engine.add_lora(lora(1))
    engine.held = True
    pinning = asyncio.ensure_future(engine.pin_lora(1))
    await until_sent(engine, "pin")
    pinning.cancel()
    engine.release()
    await settled(engine)
    assert engine._adapters.pinned == {1}
    engine.held = True
    removing = asyncio.ensure_future(engine.remove_lora(1))
    await until_sent(engine, "remove")
    removing.cancel()
    engine.release()
    await settled(engine)
    assert (engine._adapters.pinned, engine.paths) == (set(), {})


async def test_a_failed_pin_whose_caller_leaves_is_not_counted(engine: Any) -> None:
    engine.held = True
    pinning = asyncio.ensure_future(engine.pin_lora(7))
    await until_sent(engine, "pin")
    pinning.cancel()
    engine.release()
    await settled(engine)
    assert engine._adapters.pinned == set()


async def test_what_is_pinned_follows_calls_in_a_row(engine: Any) -> None:
    await engine.add_lora(lora(1))
    engine.held = True
    calls = [engine.remove_lora(1), engine.add_lora(lora(1)), engine.pin_lora(1)]
    results = asyncio.gather(*calls)
    await until_sent(engine, "remove")
    engine.release()
    assert await results == [True, True, True]
    assert engine._adapters.pinned == {1}


async def test_a_dead_engine_is_waited_for_no_longer(
    engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(core_calls, "LOOK_SECONDS", 0.001)
    engine.held = True
    waiting = [ask(engine, str(n), lora(n % 2 + 1)) for n in range(4)]
    await until_sent(engine, "add")
    engine.errored = True
    for result in await asyncio.gather(*waiting, return_exceptions=True):
        assert result is engine.dead_error
    await asyncio.sleep(0)
    assert not engine._adapters._calls._running


# --- What it costs ---


class Counted(dict[str, Any]):
    """Requests that know how often they were looked at."""

    looks = 0

    def values(self) -> Any:
        self.looks += 1
        return super().values()


async def test_a_burst_of_requests_loads_once_and_looks_at_no_request(engine: Any) -> None:
    states = engine.output_processor.request_states = Counted()
    await asyncio.gather(*(ask(engine, str(n), lora(n % 3 + 1)) for n in range(300)))
    assert (engine.calls.count("add"), engine.calls.count("step")) == (3, 300)
    assert states.looks == 0
    # What has been removed meanwhile is noticed by the next one.
    await engine.remove_lora(1)
    await ask(engine, "later", lora(1))
    assert engine.calls[-2:] == ["add", "step"]
    assert not engine._adapters._loads


async def test_what_was_used_once_is_not_remembered_for_ever(engine: Any) -> None:
    states = engine.output_processor.request_states = Counted()
    for n in range(1, 1001):
        await ask(engine, "a", lora(n))
    assert len(engine._adapters_in_use._seen) <= 64
    assert states.looks <= 1000 / 60
    assert len(engine._adapters._locks) == 0


async def test_a_name_and_a_slot_are_free_when_their_requests_have_ended(engine: Any) -> None:
    states = engine.output_processor.request_states
    for n in (1, 2, 3):
        await engine.add_lora(lora(n))
        await engine.pin_lora(n)
    await ask(engine, "a", lora(4))
    other = lora(5)
    other.lora_name = lora(4).lora_name
    for refused, said in [(lora(5), "has to wait"), (other, "is the name of adapter 4")]:
        with pytest.raises(Exception, match=said):
            await ask(engine, "b", refused)
    del states["a"]
    for now in (lora(5), other):
        await ask(engine, "b", now)
    assert set(states) == {"b"}


async def test_one_request_object_in_two_arrivals_counts_until_both_are_sent(engine: Any) -> None:
    shared = lora(1)
    engine.held = True
    first, second = ask(engine, "a", shared), ask(engine, "b", shared)
    await until_sent(engine, "add")
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    engine._adapters_in_use._look()
    namesake = lora(2)
    namesake.lora_name = shared.lora_name
    with pytest.raises(Exception, match="is the name of adapter 1"):
        await ask(engine, "c", namesake)
    engine.release()
    await second
