"""Providers of a real worker, as any client has them: beside an engine, and on it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from python_worker.testing.models.scripted_model import ScriptedModel
from tests.python.support.client import Client, Failed, sampling
from tests.python.support.gguf import Files
from tests.python.support.inference import assert_overrides
from tests.python.support.values import Ref
from tests.python.support.workers import Workers

HELLO = " from a scripted Llama, token by token"


@pytest.fixture
async def provider(vllm_client: Client, vllm_engine: Ref) -> AsyncIterator[Ref]:
    """The engine as a provider, which nobody else holds: its adapters go with it."""
    ref: Ref = await vllm_client.call("AsyncLLMProvider", "new", vllm_engine)
    yield ref
    await vllm_client.call("Worker", "release", ref.id)


async def said(
    client: Client, provider: Ref, prompt: str = "Hello", adapter_id: str | None = None, n: int = 20
) -> Any:
    return await client.call(
        provider, "generate", prompt, "", adapter_id, max_tokens=n, temperature=0.0
    )


async def test_an_engine_is_a_provider(
    vllm_client: Client, vllm_engine: Ref, provider: Ref, model: ScriptedModel
) -> None:
    result = await said(vllm_client, provider)
    served = result.pop("model")
    tokens = result.pop("token_count")
    assert result == {"text": HELLO, "adapter_id": None, "finish_reason": "stop"}
    limited = await said(vllm_client, provider, n=3)
    assert limited["finish_reason"] == "length"
    made = len(model.expected_tokens(model.encode("Hello"), 20))
    assert tokens - limited["token_count"] == made - 3
    named = await vllm_client.call(provider, "generate", "Hello", served, temperature=0.0)
    assert named["text"] == HELLO
    with pytest.raises(Failed, match=r"INVALID.*model: there is no 'another'"):
        await vllm_client.call(provider, "generate", "Hello", "another")


async def test_the_overrides_are_honoured_by_an_engine(vllm_client: Client, provider: Ref) -> None:
    async def text(**overrides: Any) -> str:
        result = await vllm_client.call(
            provider, "generate", "count", "", max_tokens=20, **overrides
        )
        return str(result["text"])

    await assert_overrides(text)


async def test_adapters_of_an_engine_change_the_weights_and_leave_them(
    vllm_client: Client, provider: Ref, vllm_engine: Ref, gguf: Files
) -> None:
    async def text(adapter_id: str | None) -> str:
        return str((await said(vllm_client, provider, "Hello", adapter_id, 2))["text"])

    for name in ("meow", "woof"):
        await vllm_client.call(provider, "load_adapter", "a", gguf.peft(name))
        assert await text("a") == f" {name} {name}"
        assert await text(None) == " from a"
    with pytest.raises(Failed, match="INVALID"):
        await vllm_client.call(provider, "load_adapter", "a", gguf.peft("broken-rank"))
    assert await text("a") == " woof woof"
    with pytest.raises(Failed, match="NOT_FOUND"):
        await vllm_client.call(provider, "load_adapter", "b", "/no/such/folder")
    assert await vllm_client.call(provider, "list_adapters") == ["a"]
    assert len(await vllm_client.call(vllm_engine, "list_loras")) >= 1
    await vllm_client.call(provider, "unload_adapter", "a")
    with pytest.raises(Failed, match=r"INVALID.*no adapter 'a' is loaded"):
        await text("a")
    assert await text(None) == " from a"


async def test_adapters_of_an_engine_share_a_batch(
    vllm_client: Client, provider: Ref, gguf: Files
) -> None:
    for name in ("meow", "woof"):
        await vllm_client.call(provider, "load_adapter", name, gguf.peft(name))
    wanted = [("meow", 2, " meow meow"), (None, 20, HELLO), ("woof", 3, " woof woof woof")] * 4
    results = await asyncio.gather(
        *(said(vllm_client, provider, "Hello", name, n) for name, n, _ in wanted)
    )
    assert [it["text"] for it in results] == [text for _, _, text in wanted]


async def test_a_text_that_is_given_up_leaves_no_request(
    vllm_client: Client, vllm_engine: Ref, provider: Ref
) -> None:
    for _ in range(3):
        with pytest.raises(Failed, match="TIMEOUT"):
            await vllm_client.call(
                provider, "generate", "count", "", max_tokens=100_000, temperature=0.0, timeout_ms=1
            )
    await vllm_client.call(vllm_engine, "wait_for_requests_to_drain")
    assert (await said(vllm_client, provider))["text"] == HELLO


@pytest.mark.parametrize("kind", ["llamacpp", "transformers"])
async def test_a_model_beside_an_engine_disturbs_nobody(
    kind: str, vllm_client: Client, vllm_engine: Ref, model: ScriptedModel, gguf: Files
) -> None:
    """Its texts, its loads and its failures, while the engine's outputs stay exact."""
    place, adapter, bad = {
        "llamacpp": (str(gguf.model), gguf.gguf("meow"), gguf.peft("meow")),
        "transformers": (str(model.path), gguf.peft("meow"), gguf.peft("broken-nan")),
    }[kind]
    over = asyncio.Event()

    async def watch() -> int:
        exact = 0
        while not over.is_set():
            params = sampling(temperature=0.0, max_tokens=8)
            last = await vllm_client.generate(vllm_engine, "Hello", params)
            exact += last.outputs[0].text == HELLO
        return exact

    watching = asyncio.ensure_future(watch())
    provider = await vllm_client.call("Inference", "get_provider", kind, place)
    assert (await said(vllm_client, provider))["text"] == HELLO
    await vllm_client.call(provider, "load_adapter", "meow", adapter)
    await vllm_client.call(provider, "load_adapter", "bad", bad)
    assert (await said(vllm_client, provider, adapter_id="meow", n=1))["text"] == " meow"
    with pytest.raises(Failed, match=r"ENGINE_ERROR|NOT_FOUND"):
        await said(vllm_client, provider, adapter_id="bad")
    with pytest.raises(Failed, match="TIMEOUT"):
        await vllm_client.call(
            provider, "generate", "count " * 900, "", max_tokens=2**31 - 1, timeout_ms=1
        )
    assert (await said(vllm_client, provider))["text"] == HELLO
    over.set()
    assert await watching > 0
    await vllm_client.call("Worker", "release", provider.id)
    await vllm_client.call("Inference", "clear_cache")


async def test_a_worker_that_stops_ends_the_processes_of_its_providers(
    workers: Workers, gguf: Files
) -> None:
    with workers.running("providers") as worker:
        async with Client(worker.address) as client:
            kept = await client.call("Inference", "get_provider", "llamacpp", str(gguf.model))
            own = await client.call("LlamaCppProvider", "new", str(gguf.model), 512)
            for provider in (kept, own):
                assert (await said(client, provider))["text"] == HELLO
        await asyncio.to_thread(worker.stop)
        assert "left behind" not in worker.tail()


async def test_a_provider_gives_no_way_into_its_parts(vllm_client: Client, provider: Ref) -> None:
    for name in ("engine", "new", "close", "_chat", "_adapters", "__class__"):
        with pytest.raises(Failed, match=r"NOT_FOUND|UNSUPPORTED"):
            await vllm_client.call(provider, name)


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("generate", [5, ""]),
        ("generate", ["x"]),
        ("generate", ["x", "", None, "5"]),
        ("generate", ["x", "", None, 2**40]),
        ("generate", ["x", "", None, 5, None, "hot"]),
        ("generate", ["x", "", None, 5, None, float("nan")]),
        ("generate", ["x", "", None, 5, None, 1.0, 1.5]),
        ("load_adapter", ["a", None]),
        ("load_adapter", ["", "/a"]),
        ("unload_adapter", [["a"]]),
        ("list_adapters", [1]),
    ],
)
async def test_wrong_arguments_are_refused(
    vllm_client: Client, provider: Ref, method: str, arguments: list[object]
) -> None:
    with pytest.raises(Failed, match="INVALID"):
        await vllm_client.call(provider, method, *arguments)
    assert (await said(vllm_client, provider))["text"] == HELLO
