"""An ``LLM`` of a real worker: its thread, the end of its batches, its life and its progress."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from python_worker.generated.vllm_bridge.v1 import messages_pb2 as pb
from tests.python.support.client import Client, Failed, sampling
from tests.python.support.native import BOTH_WAYS
from tests.python.support.values import Record, Ref
from tests.python.support.worker import Worker
from tests.python.support.workers import fake_engine

pytestmark = BOTH_WAYS

SLOW = {"extra_args": {"fake": {"delay": 0.005}}}
HANGING = {"extra_args": {"fake": {"hang": True, "after": 1}}}


@pytest.fixture
async def llm(client: Client) -> AsyncIterator[Ref]:
    ref: Ref = await client.call("LLM", "new", "fake", max_model_len=64)
    yield ref
    await client.call(ref, "shutdown")


async def wait_running(client: Client, llm: Ref, count: int = 1) -> None:
    """Returns once so many requests are in the LLM."""
    async with asyncio.timeout(60):
        while await client.call(llm, "get_num_unfinished_requests") != count:
            pass


async def test_a_batch_returns_all_outputs_in_order(client: Client, llm: Ref) -> None:
    outputs = await client.call(llm, "generate", ["one", "two"], sampling(max_tokens=3))
    assert [it.fields["prompt"] for it in outputs] == ["one", "two"]
    assert all(it.fields["finished"] for it in outputs)


async def test_params_may_be_one_each(client: Client, llm: Ref) -> None:
    params = [sampling(max_tokens=1), sampling(max_tokens=4)]
    outputs = await client.call(llm, "generate", ["a", "b"], params)
    assert [len(it.fields["outputs"][0].fields["token_ids"]) for it in outputs] == [1, 4]


async def test_chats_are_queued_and_waited_for(client: Client, llm: Ref) -> None:
    conversation = [{"role": "user", "content": "hi"}]
    assert len(await client.call(llm, "enqueue", ["a", "b", "c"])) == 3
    assert len(await client.call(llm, "enqueue_chat", [conversation, conversation])) == 2
    outputs = await client.call(llm, "wait_for_completion")
    assert len(outputs) == 5
    assert await client.call(llm, "wait_for_completion") == []


async def test_its_view_of_the_model_is_what_python_prints(client: Client, llm: Ref) -> None:
    assert await client.call(llm, "__repr__") == "FakeForCausalLM(fake)"


@pytest.mark.parametrize(
    ("method", "args", "kwargs", "kind"),
    [
        ("generate", ["a", {"max_tokens": 0}], {}, "INVALID"),
        ("generate", ["a", {"max_tokens": "1"}], {}, "INVALID"),
        ("generate", ["a"], {"bogus": 1}, "INVALID"),
        ("generate", [["a", "b"], [{}]], {}, "INVALID"),
        ("generate", [[[]]], {}, "INVALID"),
        ("generate", ["a"], {"use_tqdm": "yes"}, "INVALID"),
        ("wait_for_completion", ["Nothing"], {}, "INVALID"),
        ("llm_engine", [], {}, "NOT_FOUND"),
        ("_thread", [], {}, "NOT_FOUND"),
        ("_batch", [], {}, "NOT_FOUND"),
        ("from_engine_args", [{"model": "fake"}], {}, "UNSUPPORTED"),
    ],
)
async def test_a_wrong_call_is_refused_and_harms_nothing(
    client: Client, llm: Ref, method: str, args: list[Any], kwargs: dict[str, Any], kind: str
) -> None:
    with pytest.raises(Failed) as failed:
        await client.call(llm, method, *args, **kwargs)
    assert failed.value.kind == kind
    assert len(await client.call(llm, "generate", "a", sampling(max_tokens=1))) == 1


@pytest.mark.parametrize("kwargs", [{"bogus": 1}, {"max_model_len": "many"}, {"runner": "x"}])
async def test_a_wrong_constructor_argument_is_refused(client: Client, kwargs: Any) -> None:
    with pytest.raises(Failed) as failed:
        await client.call("LLM", "new", "fake", **kwargs)
    assert failed.value.kind == "INVALID"


async def test_engine_args_make_one_too(client: Client) -> None:
    arguments = Record("EngineArgs", {"model": "fake"})
    llm = await client.call("LLM", "from_engine_args", arguments)
    assert llm.type == "LLM"
    await client.call(llm, "shutdown")


async def test_calls_wait_for_each_other_and_nothing_else_does(client: Client, llm: Ref) -> None:
    """While one batch runs, another LLM, an engine and the loop go on."""
    engine = await fake_engine(client)
    other = await client.call("LLM", "new", "fake")
    session = client.session()
    async with session:
        running = await session.start(llm, "generate", "a", sampling(max_tokens=None, **HANGING))
        await wait_running(client, llm)
        second = await session.start(llm, "get_world_size")
        assert len(await client.call(other, "generate", "b", sampling(max_tokens=2))) == 1
        assert (await client.generate(engine, "c", sampling(max_tokens=2))).fields["finished"]
        await running.cancel()
        # Only now it is its turn.
        assert await second.value() == 1
        with pytest.raises(Failed, match="CANCELLED"):
            await running.value()
    for it in (other, engine):
        await client.call(it, "shutdown")


@pytest.mark.parametrize("end", ["cancel", "deadline", "session"])
@pytest.mark.parametrize("fake", [SLOW, HANGING])
async def test_every_end_of_a_caller_aborts_the_batch(
    client: Client, llm: Ref, end: str, fake: dict[str, Any]
) -> None:
    params = sampling(max_tokens=None, **fake)
    session = client.session()
    async with session:
        timeout = 300 if end == "deadline" else 0
        running = await session.start(llm, "generate", ["a", "b"], params, timeout_ms=timeout)
        if end != "deadline":
            await wait_running(client, llm, 2)
        if end == "cancel":
            await running.cancel()
        if end != "session":
            with pytest.raises(Failed) as failed:
                await running.value()
            assert failed.value.kind == {"cancel": "CANCELLED", "deadline": "TIMEOUT"}[end]
    # It is the LLM as before.
    assert len(await client.call(llm, "generate", "c", sampling(max_tokens=2))) == 1
    assert len(await client.call(llm, "aborted")) == 2


async def test_a_batch_that_fails_leaves_nothing(client: Client, llm: Ref) -> None:
    failing = sampling(extra_args={"fake": {"fail": ["ValueError", "no more"], "after": 1}})
    hanging = sampling(max_tokens=None, **HANGING)
    with pytest.raises(Failed, match="no more"):
        await client.call(llm, "generate", ["a", "b"], [hanging, failing])
    assert await client.call(llm, "get_num_unfinished_requests") == 0
    assert await client.call(llm, "wait_for_completion") == []


async def test_a_death_is_told(client: Client) -> None:
    llm = await client.call("LLM", "new", "fake")
    dying = sampling(extra_args={"fake": {"die": True, "after": 1}})
    with pytest.raises(Failed) as failed:
        await client.call(llm, "generate", "a", dying)
    assert failed.value.kind == "ENGINE_DEAD"
    assert await client.call(llm, "errored") is True
    with pytest.raises(Failed) as failed:
        await client.call(llm, "generate", "a")
    assert failed.value.kind == "ENGINE_DEAD"
    await client.call(llm, "shutdown")


async def test_a_shutdown_does_not_wait_for_its_turn(client: Client) -> None:
    llm = await client.call("LLM", "new", "fake")
    session = client.session()
    async with session:
        params = sampling(max_tokens=None, **HANGING)
        running = await session.start(llm, "generate", "a", params)
        await wait_running(client, llm)
        assert await client.call(llm, "shutdown") is None
        with pytest.raises(Failed, match="CANCELLED"):
            await running.value()
        with pytest.raises(Failed) as failed:
            await client.call(llm, "generate", "a")
        assert failed.value.kind in ("ENGINE_DEAD", "STALE_REF")


async def test_it_is_among_the_engines_of_the_worker(client: Client, llm: Ref) -> None:
    status = await client.call("Worker", "status")
    (mine,) = [it for it in status["engines"] if it["ref"] == llm.id]
    assert (mine["type"], mine["errored"], mine["unfinished_requests"]) == ("LLM", False, 0)
    metrics = await client.call("Worker", "metrics")
    assert [it["model"] for it in metrics if it["ref"] == llm.id] == ["fake"]


async def replies(session: Any, llm: Ref, **kwargs: Any) -> list[pb.CallReply]:
    """All replies of a batch of four prompts."""
    running = await session.start(llm, "generate", ["a", "b", "c", "d"], **kwargs)
    found: list[pb.CallReply] = []
    while not found or found[-1].WhichOneof("outcome") == "progress":
        found.append(await running.reply())
    return found


async def test_a_session_is_told_how_far_a_batch_has_come(client: Client, llm: Ref) -> None:
    async with client.session() as session:
        *told, last = await replies(session, llm)
        assert last.WhichOneof("outcome") == "value"
        progress = [it.progress for it in told]
        assert {it.description for it in progress} == {"Processed prompts"}
        assert (progress[-1].done, progress[-1].total) == (4, 4)
        assert [it.done for it in progress] == sorted(it.done for it in progress)


async def test_a_session_that_does_not_want_to_know_is_not_told(client: Client, llm: Ref) -> None:
    async with client.session() as session:
        assert len(await replies(session, llm, use_tqdm=False)) == 1


async def test_a_call_without_a_session_is_told_where_there_is_room(
    worker: Worker, llm: Ref
) -> None:
    async with Client(worker.address) as client:
        assert len(await client.call(llm, "generate", ["a", "b"])) == 2
        streamed = [it async for it in client.replies(llm, "generate", ["a", "b"])]
        *told, last = [it.WhichOneof("outcome") for it in streamed]
        assert (set(told), last) == ({"progress"}, "value")
