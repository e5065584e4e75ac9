"""Calls that return a value, through the unary rpc and through a session."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from python_worker.dispatch.engine_watch import INTERVAL_SECONDS
from tests.python.support.client import Client, Failed
from tests.python.support.values import Record, Ref
from tests.python.support.worker import Worker
from tests.python.support.workers import fake_engine


async def refused(client: Client, kind: str, *call: Any, **kwargs: Any) -> Failed:
    """Makes a call that must fail and returns its failure."""
    with pytest.raises(Failed) as caught:
        await client.call(*call, **kwargs)
    assert caught.value.kind == kind, caught.value
    message = caught.value.failure.message
    assert len(message) > 10, "a message for a person"
    assert "object at 0x" not in message
    return caught.value


async def test_coroutine_plain_method_and_property_give_their_value(
    client: Client, engine: Ref
) -> None:
    assert await client.call(engine, "echo_async", [1, "two"]) == [1, "two"]
    assert await client.call(engine, "echo_sync", [1, "two"]) == [1, "two"]
    assert await client.call(engine, "label") == "a fake engine"
    assert await client.call(engine, "is_running") is True
    assert await client.call(engine, "errored") is False
    assert await client.call(engine, "check_health") is None


async def test_arguments_arrive_by_position_and_by_name(client: Client, engine: Ref) -> None:
    for args, kwargs in (
        ((2, "wait"), {}),
        ((2,), {"mode": "wait"}),
        ((), {"level": 2, "mode": "wait"}),
    ):
        await client.call(engine, "sleep", *args, **kwargs)
    calls = await client.call(engine, "calls", "sleep")
    assert calls == [["sleep", [2, "wait"], {}]] * 3


async def test_collective_rpc_passes_timeout_tuple_and_dict_intact(
    client: Client, engine: Ref
) -> None:
    sent = ("check_health", 1.5, (1, (2, "x")), {"k": [3]})
    assert await client.call(engine, "collective_rpc", *sent) == [sent]


async def test_parameters_may_be_a_map_or_a_record(client: Client, engine: Ref) -> None:
    fields = {"lora_name": "a", "lora_int_id": 7, "lora_path": "/adapters/a"}
    assert await client.call(engine, "add_lora", fields) is True
    assert await client.call(engine, "add_lora", Record("LoRARequest", fields)) is True
    assert await client.call(engine, "list_loras") == {7}


async def test_all_calls_see_one_event_loop(client: Client, engine: Ref, worker: Worker) -> None:
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(Client(worker.address)) for _ in range(10)]
        loops = await asyncio.gather(
            *(one.call(engine, "loop_id") for one in [*clients, client] for _ in range(5))
        )
    assert len(set(loops)) == 1


async def test_a_thousand_calls_at_once_are_all_answered(client: Client, engine: Ref) -> None:
    async with client.session() as session:
        running = [await session.start(engine, "echo", n) for n in range(1000)]
        assert [await one.value() for one in running] == list(range(1000))


async def test_a_method_that_blocks_delays_no_other(
    client: Client, engine: Ref, tmp_path: Path
) -> None:
    """Were it delayed, there would be no answer: they block until the file is there."""
    gate = tmp_path / "open"
    async with client.session() as session:
        blocked = [await session.start(engine, "block_until", str(gate)) for _ in range(20)]
        for n in range(20):
            assert await session.call(engine, "echo", n) == n
        assert blocked[0].waiting.empty()
        gate.touch()
        assert [await one.value() for one in blocked] == ["unblocked"] * 20


async def test_a_deadline_ends_the_call(client: Client, engine: Ref) -> None:
    failed = await refused(client, "TIMEOUT", engine, "wait_forever", timeout_ms=80)
    assert "80 ms" in failed.failure.message
    assert await client.call(engine, "echo", 1) == 1


async def test_cancelling_ends_the_call(client: Client, engine: Ref) -> None:
    async with client.session() as session:
        running = await session.start(engine, "wait_forever")
        await session.call(engine, "echo", 1)
        await running.cancel()
        with pytest.raises(Failed, match="CANCELLED"):
            await running.value()
        await running.cancel()
        assert await session.call(engine, "echo", 2) == 2


@pytest.mark.parametrize(
    "name",
    [
        "no_such_method",
        "_die",
        "_core",
        "__class__",
        "__init__",
        "__reduce__",
        "engine_args",
        "echo.__globals__",
        "",
        "echo\0",
    ],
)
async def test_unknown_and_private_members_are_refused(
    name: str, client: Client, engine: Ref
) -> None:
    await refused(client, "NOT_FOUND", engine, name)
    assert await client.call(engine, "echo", 1) == 1


@pytest.mark.parametrize("name", ["_secret", "__dict__", "__class__", "__init__"])
async def test_private_members_of_other_objects_are_refused(
    name: str, client: Client, engine: Ref
) -> None:
    thing = await client.call(engine, "make", "object")
    await refused(client, "NOT_FOUND", thing, name)


@pytest.mark.parametrize("name", ["os", "Engine", "builtins", "asyncllm", ""])
async def test_unknown_classes_are_refused(name: str, client: Client) -> None:
    await refused(client, "NOT_FOUND", name, "status")


@pytest.mark.parametrize("name", ["generate", "mro", "__subclasses__", "shutdown", "die"])
async def test_class_members_other_than_constructors_are_refused(name: str, client: Client) -> None:
    await refused(client, "NOT_FOUND", "AsyncLLM", name)


async def test_an_unknown_keyword_is_refused_with_its_name(client: Client, engine: Ref) -> None:
    failed = await refused(client, "INVALID", engine, "sleep", depth=3)
    assert "depth" in failed.failure.message
    assert "level" in failed.failure.message, "and what there is instead"
    assert await client.call(engine, "calls", "sleep") == []


async def test_too_many_and_missing_arguments_are_refused(client: Client, engine: Ref) -> None:
    await refused(client, "INVALID", engine, "sleep", 1, "abort", 3)
    failed = await refused(client, "INVALID", engine, "add_lora")
    assert "lora_request" in failed.failure.message
    await refused(client, "INVALID", engine, "label", 1)


@pytest.mark.parametrize(
    ("method", "kwargs", "parameter"),
    [
        ("sleep", {"level": "2"}, "level"),
        ("sleep", {"level": True}, "level"),
        ("sleep", {"level": 1.0}, "level"),
        ("sleep", {"mode": "maybe"}, "mode"),
        ("wake_up", {"tags": "weights"}, "tags"),
        ("wake_up", {"tags": [1]}, "tags[0]"),
        ("reset_prefix_cache", {"reset_running_requests": 1}, "reset_running_requests"),
        ("collective_rpc", {"method": "f", "args": 3}, "args"),
        ("collective_rpc", {"method": "f", "timeout": "1"}, "timeout"),
        ("add_lora", {"lora_request": {"lora_name": "a", "lora_int_id": "7"}}, "lora_int_id"),
        ("add_lora", {"lora_request": {"lora_name": "a", "lora_int_id": 7, "rank": 8}}, "rank"),
        ("add_lora", {"lora_request": Record("SamplingParams", {})}, "lora_request"),
        ("abort", {"request_id": 7}, "request_id"),
        ("abort", {"request_id": ["a", 7]}, "request_id"),
    ],
)
async def test_wrong_types_are_refused_before_the_engine(
    method: str, kwargs: dict[str, Any], parameter: str, client: Client, engine: Ref
) -> None:
    failed = await refused(client, "INVALID", engine, method, **kwargs)
    assert parameter in failed.failure.message
    assert await client.call(engine, "calls", method) == []


async def test_building_takes_checked_arguments_only(client: Client) -> None:
    for fields, named in (
        ({"modle": "x"}, "modle"),
        ({"model": 7}, "model"),
        ({"max_model_len": "1024"}, "max_model_len"),
    ):
        arguments = Record("AsyncEngineArgs", fields)
        failed = await refused(client, "INVALID", "AsyncLLM", "from_engine_args", arguments)
        assert named in failed.failure.message


async def test_a_failing_construction_is_a_failure_with_its_type(client: Client) -> None:
    config = {"fake": {"build_error": ["RuntimeError", "Engine core initialization failed."]}}
    arguments = Record("AsyncEngineArgs", {"additional_config": config})
    failed = await refused(client, "ENGINE_ERROR", "AsyncLLM", "from_engine_args", arguments)
    assert failed.failure.type == "builtins.RuntimeError"
    assert failed.failure.message == "Engine core initialization failed."


async def test_building_an_engine_delays_no_other_call(
    client: Client, engine: Ref, tmp_path: Path
) -> None:
    gate = tmp_path / "built"
    config = {"fake": {"build_until": str(gate)}}
    arguments = Record("AsyncEngineArgs", {"additional_config": config})
    async with client.session() as session:
        building = await session.start("AsyncLLM", "from_engine_args", arguments)
        for n in range(20):
            assert await session.call(engine, "echo", n) == n
        assert building.waiting.empty()
        gate.touch()
        await session.call(await building.value(), "shutdown")


async def test_a_slow_shutdown_is_not_taken_for_the_death_of_the_engine(client: Client) -> None:
    engine = await fake_engine(client, {"shutdown_seconds": 2 * INTERVAL_SECONDS})
    assert await client.call(engine, "shutdown") is None


async def test_a_shutdown_goes_on_without_its_caller(client: Client) -> None:
    engine = await fake_engine(client, {"shutdown_seconds": 0.3})
    await refused(client, "TIMEOUT", engine, "shutdown", timeout_ms=50)
    while engine.id in {known["ref"] for known in await engines(client)}:
        pass  # nobody tells when a shutdown is over; the call itself waits


async def engines(client: Client) -> list[dict[str, Any]]:
    status = await client.call("Worker", "status")
    listed: list[dict[str, Any]] = status["engines"]
    return listed


async def test_a_stream_through_call_is_refused_and_aborted(client: Client, engine: Ref) -> None:
    params = {"max_tokens": None}
    failed = await refused(client, "UNSUPPORTED", engine, "generate", "hi", params, "r")
    assert "Stream" in failed.failure.message
    await client.call(engine, "wait_requests", 0)


async def test_printing_megabytes_harms_nothing(client: Client, engine: Ref) -> None:
    """Whatever a library prints to stdout goes to the log, not into the protocol."""
    await client.call(engine, "print_megabytes", 4)
    assert await client.call(engine, "echo", 1) == 1
