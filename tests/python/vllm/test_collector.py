"""``add_request`` on a real engine: exact items, and nothing left when the reference goes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from python_worker.testing.models.scripted_model import ScriptedModel
from tests.python.support.client import Client, Failed, sampling
from tests.python.support.values import Ref

ENDLESS = sampling(temperature=0.0, max_tokens=1000, ignore_eos=True)


async def wait_idle(client: Client, engine: Ref) -> None:
    async with asyncio.timeout(60):
        while await client.call(engine, "get_num_unfinished_requests"):
            pass


@pytest.mark.parametrize("kind", ["CUMULATIVE", "DELTA", "FINAL_ONLY"])
async def test_items_until_finished_then_none(
    kind: str, vllm_client: Client, vllm_engine: Ref, model: ScriptedModel
) -> None:
    params = sampling(temperature=0.0, max_tokens=100, output_kind=kind)
    collector = await vllm_client.call(vllm_engine, "add_request", "mine", "count", params)
    assert collector.type == "RequestOutputCollector"
    assert (await vllm_client.call(collector, "request_id")).startswith("mine-")
    items = [await vllm_client.call(collector, "get")]
    while not items[-1].finished:
        items.append(await vllm_client.call(collector, "get"))
    assert await vllm_client.call(collector, "get") is None
    assert await vllm_client.call(collector, "get_nowait") is None
    texts = [item.outputs[0].text for item in items]
    assert ("".join(texts) if kind == "DELTA" else texts[-1]) == model.expected_text("count", 100)
    assert {item.request_id for item in items} == {"mine"}
    assert items[-1].outputs[0].finish_reason == "length"


async def test_several_completions(
    vllm_client: Client, vllm_engine: Ref, model: ScriptedModel
) -> None:
    params = sampling(n=3, temperature=1.0, seed=7, max_tokens=20, output_kind="FINAL_ONLY")
    collector = await vllm_client.call(vllm_engine, "add_request", "r", "count", params)
    item = await vllm_client.call(collector, "get")
    assert [output.index for output in item.outputs] == [0, 1, 2]
    assert {output.text for output in item.outputs} == {model.expected_text("count", 20)}
    assert await vllm_client.call(collector, "get") is None


@pytest.mark.parametrize("n", [1, 3])
async def test_release_aborts(n: int, vllm_client: Client, vllm_engine: Ref) -> None:
    params = sampling(temperature=1.0, n=n, max_tokens=1000, ignore_eos=True)
    for _ in range(3):
        collector = await vllm_client.call(vllm_engine, "add_request", "r", "count", params)
        assert await vllm_client.call("Worker", "release", collector.id) is True
    await wait_idle(vllm_client, vllm_engine)
    with pytest.raises(Failed, match="STALE_REF"):
        await vllm_client.call(collector, "get")


async def test_the_end_of_its_session_aborts(vllm_client: Client, vllm_engine: Ref) -> None:
    async with vllm_client.session() as session:
        collector = await session.call(vllm_engine, "add_request", "r", "count", ENDLESS)
        assert not (await session.call(collector, "get")).finished
    await wait_idle(vllm_client, vllm_engine)


async def test_close_and_abort_end_it(vllm_client: Client, vllm_engine: Ref) -> None:
    collector = await vllm_client.call(vllm_engine, "add_request", "r", "count", ENDLESS)
    assert await vllm_client.call(collector, "close") is None
    assert await vllm_client.call(collector, "get") is None
    await wait_idle(vllm_client, vllm_engine)

    collector = await vllm_client.call(vllm_engine, "add_request", "other", "count", ENDLESS)
    await vllm_client.call(vllm_engine, "abort", "other")
    while not (item := await vllm_client.call(collector, "get")).finished:
        pass
    assert item.outputs[0].finish_reason == "abort"


async def test_a_cancel_on_the_way_leaves_nothing(vllm_client: Client, vllm_engine: Ref) -> None:
    async with vllm_client.session() as session:
        for number in range(30):
            adding = await session.start(vllm_engine, "add_request", "r", "count", ENDLESS)
            if number % 3:
                await session.call("Worker", "status")  # some turns of the loop later
            await adding.cancel()
    await wait_idle(vllm_client, vllm_engine)


async def test_what_is_refused(vllm_client: Client, vllm_engine: Ref) -> None:
    refused: list[tuple[list[Any], str]] = [
        (["r", "Hello", {"max_tokens": "8"}], "max_tokens"),
        (["r", 7, {}], "prompt"),
        ([7, "Hello", {}], "request_id"),
        (["r", "Hello", {"no_such": 1}], "no_such"),
    ]
    for arguments, word in refused:
        with pytest.raises(Failed, match="INVALID") as caught:
            await vllm_client.call(vllm_engine, "add_request", *arguments)
        assert word in caught.value.failure.message
    assert await vllm_client.call(vllm_engine, "get_num_unfinished_requests") == 0
