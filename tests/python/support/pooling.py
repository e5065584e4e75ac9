"""What the tests of batches of pooling share: engines, how they are asked, and what is compared."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.python.support.client import Client, build_engine
from tests.python.support.llms import ODD, kind_of, plain
from tests.python.support.values import Record, Ref
from tests.python.support.worker import Worker
from tests.python.support.workers import ONE_PROCESS

TEXTS = [
    "A kitten plays with a ball of wool.",
    "A young cat chases a toy.",
    "The central bank raised interest rates.",
    "Ein Kätzchen spielt.",
    "",
]

COMMON: dict[str, Any] = {"dtype": "float32", "enforce_eager": True, "num_gpu_blocks_override": 64}


@contextmanager
def pooling_engine(worker: Worker, model: Path, **more: Any) -> Iterator[Ref]:
    """An ``AsyncLLM`` that pools, until the block ends."""
    engine = build_engine(
        worker.address, model=str(model), runner="pooling", **ONE_PROCESS, **COMMON, **more
    )
    try:
        yield engine
    finally:
        asyncio.run(shut_down(worker, engine))


async def shut_down(worker: Worker, engine: Ref) -> None:
    """Ends an engine, for fixtures that outlive the event loop of one test."""
    async with Client(worker.address) as client:
        await client.call(engine, "shutdown")


async def at_one_step(client: Client, engine: Ref, count: int, method: str, *args: Any) -> Any:
    """What a batch answers whose requests are all in the engine before the first is computed."""
    await client.call(engine, "pause_generation", mode="keep")
    batch = asyncio.ensure_future(client.call(engine, method, *args))
    async with asyncio.timeout(50):
        while await client.call(engine, "get_num_unfinished_requests") < count:
            assert not batch.done(), await batch
    await client.call(engine, "resume_generation")
    return await batch


def check_scores(ours: Record, theirs: list[Any]) -> None:
    """Compares scores with those of vLLM's ``LLM``."""
    assert ours.name == "ScoreBatch"
    assert plain(ours.scores) == [it["outputs"]["score"] for it in theirs]
    assert ours.prompt_tokens == [len(it["prompt_token_ids"]) for it in theirs]


PARAMETERS = ("pooling_params", "tokenization_kwargs", "lora_request", "priority", "model")

OF_PAIRS = ("chat_template_kwargs", "max_tokens_per_query", "max_tokens_per_doc")

REFUSED = ("INVALID", "UNSUPPORTED", "NOT_FOUND", "PROTOCOL")


async def check_odd_arguments(
    client: Client, engine: Ref, method: str, sound: dict[str, Any]
) -> None:
    """Each parameter gets each odd value; the call returns or is refused, and others go on."""
    for name in (*sound, *PARAMETERS, *(OF_PAIRS if method == "score" else ())):
        for odd in [*ODD, *([it] for it in ODD)]:
            kind = await kind_of(client.call(engine, method, **{**sound, name: odd}))
            assert kind in ("", *REFUSED), (method, name, odd, kind)
    assert await client.call(engine, "get_num_unfinished_requests") == 0
    await client.call(engine, method, **sound)
