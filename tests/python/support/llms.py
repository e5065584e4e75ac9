"""What the tests of ``LLM`` on the real engine share: what they ask for, and how they compare."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

from tests.python.support.client import Client, Failed
from tests.python.support.values import Record, Ref, Tensor

#: Differ from run to run, or count the runs.
CHANGING = {
    "request_id",
    "metrics",
    "arrival_time",
    "num_cached_tokens",
    "num_cache_creation_tokens",
}

#: What the scripted model answers to "Hello", in so many tokens.
HELLO = " from a scripted Llama, token by token"

PROMPTS = ["Hello", "count", "A", "Who are you?"]
GREEDY: dict[str, Any] = {"temperature": 0.0, "max_tokens": 8}
ENDLESS: dict[str, Any] = {"temperature": 0.0, "max_tokens": 900, "ignore_eos": True}

ODD: list[Any] = [
    *(None, True, -1, 0, 2**63 - 1, 2**70, 1.5, float("nan"), float("inf")),
    *("", "x", b"x", [], [None], [[]], {}, {"a": 1}, {"a": {"b": [None]}}, (), {1}),
    Record("SamplingParams", {}),
    Record("NoSuchClass", {"a": 1}),
]


def plain(value: Any) -> Any:
    """What came over the bridge, as ``reference_llm.plain`` describes what vLLM returned."""
    if isinstance(value, Record):
        return {key: plain(item) for key, item in value.fields.items()}
    if isinstance(value, Tensor):
        import numpy as np

        return np.frombuffer(value.data, value.dtype).reshape(value.shape).tolist()
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def same(ours: Any, theirs: Any) -> None:
    """Compares all that both have; a field of vLLM's that is not sent is in no table of ours."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        assert {str(key) for key in ours} <= {str(key) for key in theirs}
        for key in ours.keys() - CHANGING:
            same(ours[key], theirs[key])
    elif isinstance(ours, list):
        assert len(ours) == len(theirs)
        for mine, other in zip(ours, theirs, strict=True):
            same(mine, other)
    else:
        assert ours == theirs


async def check_odd_arguments(
    client: Client, llm: Ref, method: str, sound: dict[str, Any], *args: Any
) -> None:
    """Each parameter gets each odd value; the call returns or is refused, at once."""
    from python_worker.gen import manifest

    members = {it["name"]: it for it in manifest.load()["llm"]["members"]}
    for name in (it["name"] for it in members[method]["parameters"]):
        for odd in ODD:
            kind = await kind_of(client.call(llm, method, *args, **{**sound, name: odd}))
            assert kind not in ("TIMEOUT", "ENGINE_DEAD"), (name, odd)
            assert await client.call(llm, "wake_up") is True
            await client.call(llm, "wait_for_completion")


async def kind_of(call: Awaitable[Any]) -> str:
    """How a call fails; nothing where it returns in good time."""
    try:
        async with asyncio.timeout(60):
            await call
    except Failed as failed:
        return failed.kind
    except TimeoutError:
        return "TIMEOUT"
    return ""


async def wait_running(client: Client, llm: Ref, count: int) -> None:
    """Returns once so many requests are in the LLM."""
    async with asyncio.timeout(60):
        while await client.call(llm, "get_num_unfinished_requests") < count:
            pass
