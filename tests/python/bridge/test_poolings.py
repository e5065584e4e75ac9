"""Batches of pooling on a fake engine, over both listeners: how they are ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.python.support.client import Client, Failed
from tests.python.support.native import BOTH_WAYS
from tests.python.support.values import Ref
from tests.python.support.workers import fake_engine

pytestmark = BOTH_WAYS


@pytest.fixture
async def pooling(client: Client) -> AsyncIterator[Ref]:
    """A fake engine that embeds."""
    engine = await fake_engine(client, runner="pooling", max_model_len=64)
    yield engine
    await client.call(engine, "shutdown")


async def ends_empty(client: Client, engine: Ref) -> None:
    """Returns once no request is in the engine."""
    async with asyncio.timeout(60):
        while await client.call(engine, "get_num_unfinished_requests"):
            pass


async def test_a_batch_is_one_tensor(client: Client, pooling: Ref) -> None:
    batch = await client.call(pooling, "embed", [[1], [2, 3]])
    assert batch.name == "EmbeddingBatch"
    assert batch.embeddings.shape == (2, 8)
    assert (batch.prompt_tokens, batch.usage.prompt_tokens) == ([1, 2], 3)


async def test_a_failure_says_which_input_and_why(client: Client, pooling: Ref) -> None:
    with pytest.raises(Failed, match=r"INVALID.*inputs\[1\]: .*longer than") as failed:
        await client.call(pooling, "embed", ["a", "b" * 100, "c"])
    assert failed.value.details["input"] == 1
    causes = [cause.type for cause in failed.value.causes()]
    assert any(cause.endswith("VLLMValidationError") for cause in causes)
    await ends_empty(client, pooling)


ARGUMENTS: dict[str, dict[str, Any]] = {
    "embed": {"inputs": ["a"] * 300},
    "score": {"queries": ["a"], "documents": ["b"] * 300},
    "encode_batch": {"inputs": ["a"] * 300, "task": "token_embed"},
}


@pytest.mark.parametrize("method", ARGUMENTS)
async def test_a_deadline_ends_all_requests(client: Client, pooling: Ref, method: str) -> None:
    arguments = ARGUMENTS[method]
    await client.call(pooling, "pause_generation", mode="keep")
    with pytest.raises(Failed, match="TIMEOUT"):
        await client.call(pooling, method, **arguments, timeout_ms=300)
    await ends_empty(client, pooling)
    await client.call(pooling, "resume_generation")
    await client.call(pooling, method, **arguments)


async def test_the_death_of_the_engine_ends_a_batch(client: Client) -> None:
    engine = await fake_engine(client, runner="pooling")
    await client.call(engine, "pause_generation", mode="keep")
    batch = asyncio.ensure_future(client.call(engine, "embed", ["a"] * 4))
    async with asyncio.timeout(60):
        while await client.call(engine, "get_num_unfinished_requests") < 4:
            assert not batch.done()
    await client.call(engine, "die")
    with pytest.raises(Failed, match="ENGINE_DEAD"):
        await batch
