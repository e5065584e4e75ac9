"""Arguments that are streams, as any client sends them: who asks, who says what, the end."""

from __future__ import annotations

from typing import Any

import grpc
import msgpack
import pytest

from python_worker.generated.vllm_bridge.v1 import messages_pb2 as pb
from tests.python.support.client import Client, Failed, Running, Session, sampling
from tests.python.support.native import BOTH_WAYS
from tests.python.support.values import Record, Ref, encode

pytestmark = BOTH_WAYS

#: The mark of a stream: an empty array in extension 15.
STREAM = msgpack.ExtType(15, b"\x90")
PARAMS = sampling(max_tokens=2, output_kind="DELTA")


async def generate(session: Session, engine: Ref, prompt: object = STREAM) -> Running:
    """Starts a request whose prompt is a stream."""
    return await session.start(engine, "generate", prompt, PARAMS, "r")


async def send(call: Running, *steps: pb.Input) -> None:
    """Sends inputs of a call."""
    for step in steps:
        step.call = call.id
    await call.session.write(pb.ClientFrame(inputs=steps))


def element(value: object) -> pb.Input:
    """An element."""
    return pb.Input(element=encode(value))


async def outcomes(call: Running, last: str) -> list[str | None]:
    """The kinds of the replies up to one."""
    seen: list[str | None] = []
    while not seen or seen[-1] != last:
        seen.append((await call.reply()).WhichOneof("outcome"))
    return seen


async def failure(call: Running) -> Failed:
    """The failure that a call ends with."""
    while not (reply := await call.reply()).HasField("failure"):
        assert reply.WhichOneof("outcome") == "item"
    return Failed(reply.failure)


async def test_elements_are_asked_for_one_by_one(client: Client, engine: Ref) -> None:
    async with client.session() as session:
        call = await generate(session, engine)
        assert await outcomes(call, "input_wanted") == ["accepted", "input_wanted"]
        await session.call(engine, "echo", None)
        assert call.waiting.empty()
        await send(call, element("a"))
        assert "end" not in await outcomes(call, "input_wanted")
        await send(call, pb.Input(end=pb.End()))
        # The client said so itself: nothing tells it that the stream is closed.
        assert set(await outcomes(call, "end")) <= {"item", "end"}
        await session.call(engine, "echo", None)
        assert call.waiting.empty()


async def test_what_an_element_may_be(client: Client, engine: Ref) -> None:
    prompts: list[Any] = [
        "a",
        [1, 2],
        {"prompt_token_ids": [3]},
        Record("TokensPrompt", {"prompt_token_ids": [4]}),
        Record("StreamingInput", {"prompt": [5]}),
        Record("StreamingInput", {"prompt": [6], "sampling_params": PARAMS}),
        {"prompt": [7], "sampling_params": None},
    ]
    async with client.session() as session:
        call = await generate(session, engine)
        for prompt in prompts:
            await outcomes(call, "input_wanted")
            await send(call, element(prompt))
        await outcomes(call, "input_wanted")
        await send(call, pb.Input(end=pb.End()))
        await outcomes(call, "end")


@pytest.mark.parametrize(
    ("value", "parameter"),
    [
        ({"prompt_token_ids": ["a"]}, "prompt[1].prompt_token_ids[0]"),
        (Record("StreamingInput", {"prompt": {"prompt": 5}}), "prompt[1].prompt.prompt"),
        (
            Record("StreamingInput", {"prompt": "x", "sampling_params": 5}),
            "prompt[1].sampling_params",
        ),
        (Record("StreamingInput", {"prompt": "x", "more": 5}), "prompt[1]"),
        (None, "prompt[1]"),
        (True, "prompt[1]"),
    ],
)
async def test_a_wrong_element_is_named_and_closes_the_stream(
    value: object, parameter: str, client: Client, engine: Ref
) -> None:
    async with client.session() as session:
        call = await generate(session, engine)
        await outcomes(call, "input_wanted")
        await send(call, element("a"))
        await outcomes(call, "input_wanted")
        await send(call, element(value))
        assert set(await outcomes(call, "inputs_closed")) <= {"item", "inputs_closed"}
        failed = await failure(call)
        assert failed.kind == "INVALID"
        assert failed.details["parameter"] == parameter
        assert not failed.causes()
        await session.call(engine, "wait_requests", 0)


async def test_a_failure_of_the_client_is_the_failure_of_the_call(
    client: Client, engine: Ref
) -> None:
    said = pb.Failure(kind=pb.FAILURE_KIND_CONFLICT, message="no more", details=encode({"x": 1}))
    async with client.session() as session:
        call = await generate(session, engine)
        await outcomes(call, "input_wanted")
        await send(call, pb.Input(failure=said))
        assert (await failure(call)).failure == said
        await session.call(engine, "wait_requests", 0)


async def test_a_failure_needs_no_asking(client: Client, engine: Ref) -> None:
    """Whoever makes the elements may die while the engine answers."""
    async with client.session() as session:
        params = sampling(max_tokens=50, extra_args={"fake": {"delay": 0.01}})
        call = await session.start(engine, "generate", STREAM, params, "r")
        await outcomes(call, "input_wanted")
        await send(call, element("a"), pb.Input(failure=pb.Failure(message="gone")))
        assert (await failure(call)).failure.message == "gone"


async def test_what_was_not_asked_for_ends_the_session(client: Client, engine: Ref) -> None:
    async with client.session() as session:
        call = await generate(session, engine)
        await outcomes(call, "input_wanted")
        # The worker may ask for the next element between two of one frame, but not each time.
        await send(call, *(element("a") for _ in range(1000)))
        assert await session.status() == grpc.StatusCode.FAILED_PRECONDITION


async def test_inputs_of_a_call_that_is_over_are_ignored(client: Client, engine: Ref) -> None:
    async with client.session() as session:
        call = await generate(session, engine)
        await outcomes(call, "input_wanted")
        await call.cancel()
        assert set(await outcomes(call, "inputs_closed")) <= {"failure", "inputs_closed"}
        await send(call, element("late"))
        await session.write(pb.ClientFrame(inputs=[pb.Input(call=77, element=encode("never"))]))
        assert await session.call(engine, "echo", 1) == 1
        await session.call(engine, "wait_requests", 0)


async def test_a_call_that_is_refused_closes_its_stream(client: Client, engine: Ref) -> None:
    async with client.session() as session:
        call = await session.start(engine, "generate", STREAM, sampling(n=2), "r")
        replies = [await call.reply(), await call.reply()]
        assert [r.WhichOneof("outcome") for r in replies] == ["failure", "inputs_closed"]
        assert replies[0].failure.kind == pb.FAILURE_KIND_INVALID


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("generate", ([STREAM], PARAMS, "r")),
        ("encode", (STREAM, Record("PoolingParams", {}), "r")),
        ("echo", (STREAM,)),
        ("echo", ({"deep": STREAM},)),
        ("generate", (STREAM, STREAM, "r")),
    ],
)
async def test_a_stream_is_only_taken_where_its_elements_are_checked(
    method: str, arguments: tuple[object, ...], client: Client, engine: Ref
) -> None:
    async with client.session() as session:
        with pytest.raises(Failed) as caught:
            await session.call(engine, method, *arguments)
        assert caught.value.kind == "INVALID"


async def test_a_class_has_no_use_for_one(client: Client) -> None:
    async with client.session() as session:
        with pytest.raises(Failed, match="a stream cannot be used here"):
            await session.call("AsyncLLM", "from_engine_args", STREAM)


async def test_single_calls_cannot_have_one(client: Client, engine: Ref) -> None:
    with pytest.raises(Failed, match="needs a Session") as call:
        await client.call(engine, "generate", STREAM, PARAMS, "r")
    with pytest.raises(Failed, match="needs a Session") as stream:
        await client.items(engine, "generate", STREAM, PARAMS, "r")
    assert {call.value.kind, stream.value.kind} == {"UNSUPPORTED"}
    # And nothing else: that no inputs are wanted would come after the last reply.
    replies = [it async for it in client.replies(engine, "generate", STREAM, PARAMS, "r")]
    assert [reply.WhichOneof("outcome") for reply in replies] == ["failure"]


async def test_a_client_that_leaves_leaves_nothing(client: Client, engine: Ref) -> None:
    async with client.session() as session:
        call = await generate(session, engine)
        await outcomes(call, "input_wanted")
        await send(call, element("a"))
        await outcomes(call, "input_wanted")
    await client.call(engine, "wait_requests", 0)
