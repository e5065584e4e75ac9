"""A real ``vllm serve`` with runtime adapters, asked by its provider."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest

from python_worker.exceptions import HttpStatus
from python_worker.integrations.inference.results import GenerationResult
from python_worker.integrations.inference.vllm_server import VLLMProvider
from python_worker.testing.models.scripted_model import ScriptedModel
from tests.python.support.gguf import Files
from tests.python.support.inference import assert_overrides
from tests.python.support.model_servers import vllm_server

#: Adapters that vLLM finds to be none when it loads them.
REFUSED = ("broken-json", "broken-rank", "broken-dora", "broken-modules", "broken-weights")

HELLO = " from a scripted Llama, token by token"


@pytest.fixture(scope="module")
def url(model: ScriptedModel, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with vllm_server(model, tmp_path_factory.mktemp("vllm-serve")) as url:
        yield url


@pytest.fixture
async def provider(url: str) -> AsyncIterator[VLLMProvider]:
    provider = VLLMProvider.new(url)
    yield provider
    for adapter_id in await provider.list_adapters():
        await provider.unload_adapter(adapter_id)
    await provider.close()


async def said(
    provider: VLLMProvider,
    prompt: str = "Hello",
    adapter_id: str | None = None,
    max_tokens: int = 20,
    model: str = "scripted",
) -> GenerationResult:
    return await provider.generate(prompt, model, adapter_id, max_tokens, temperature=0.0)


async def refused(call: Any) -> int:
    with pytest.raises(HttpStatus) as caught:
        await call
    status = caught.value.details["status"]
    assert isinstance(status, int)
    return status


@pytest.mark.timeout(400)
async def test_a_text_is_the_scripts(provider: VLLMProvider, model: ScriptedModel) -> None:
    result = await said(provider)
    assert (result.text, result.model, result.finish_reason) == (HELLO, "scripted", "stop")
    limited = await said(provider, max_tokens=3)
    assert (limited.text, limited.finish_reason) == (" from a scripted", "length")
    made = len(model.expected_tokens(model.encode("Hello"), 20))
    assert result.token_count - limited.token_count == made - 3


async def test_the_overrides_are_honoured(provider: VLLMProvider) -> None:
    async def text(**overrides: Any) -> str:
        return (await provider.generate("count", "scripted", None, 20, **overrides)).text

    await assert_overrides(text)


# Upstream: test_vllm_provider.py::TestVLLMProviderAdapterLifecycle (U-99 to U-102)
async def test_adapters_change_the_weights_and_leave_them(
    provider: VLLMProvider, gguf: Files
) -> None:
    await provider.load_adapter("woof", gguf.peft("woof"))
    await provider.load_adapter("meow", gguf.peft("meow"))
    assert await provider.list_adapters() == ["meow", "woof"]
    # One after the other: on a CPU, vLLM's server may answer a request without an adapter with
    # the adapter of another in its batch.
    meow = await said(provider, adapter_id="meow", max_tokens=2)
    woof = await said(provider, adapter_id="woof", max_tokens=2)
    base = await said(provider)
    assert (meow.text, meow.adapter_id) == (" meow meow", "meow")
    assert (woof.text, base.text) == (" woof woof", HELLO)
    await provider.unload_adapter("meow")
    assert await refused(said(provider, adapter_id="meow")) == 404
    await provider.load_adapter("meow", gguf.peft("woof"))
    assert (await said(provider, adapter_id="meow", max_tokens=2)).text == " woof woof"


# Upstream: tests/entrypoints/serve/lora/test_lora_adapters.py::test_dynamic_lora_lineage (U-104)
async def test_the_server_lists_what_was_loaded(
    provider: VLLMProvider, url: str, gguf: Files
) -> None:
    await provider.load_adapter("meow", gguf.peft("meow"))
    async with httpx.AsyncClient() as client:
        models = (await client.get(f"{url}/models")).json()["data"]
    assert {it["id"]: it["parent"] for it in models} == {"scripted": None, "meow": "scripted"}


# Upstream: test_lora_adapters.py::test_multiple_lora_adapters (U-125)
async def test_more_adapters_than_the_server_has_room_for_are_used_at_once(
    provider: VLLMProvider, gguf: Files
) -> None:
    names = ("one", "two", "three", "four", "five", "six", "seven", "eight", "meow", "woof")
    for name in names:
        await provider.load_adapter(name, gguf.peft(name))
    results = await asyncio.gather(
        *(said(provider, adapter_id=name, max_tokens=3) for name in names * 3)
    )
    assert [result.text for result in results] == [f" {name}" * 3 for name in names * 3]


# Upstream: test_lora_adapters.py::test_loading_invalid_adapters_does_not_break_others (U-124)
async def test_adapters_that_are_refused_disturb_no_text(
    provider: VLLMProvider, gguf: Files
) -> None:
    await provider.load_adapter("meow", gguf.peft("meow"))
    over = asyncio.Event()

    async def keep_asking() -> set[str]:
        texts = set()
        while not over.is_set():
            texts.add((await said(provider, adapter_id="meow", max_tokens=4)).text)
        return texts

    asking = [asyncio.ensure_future(keep_asking()) for _ in range(4)]
    for number in range(25):
        name = REFUSED[number % len(REFUSED)]
        assert await refused(provider.load_adapter(f"bad {number}", gguf.peft(name))) >= 400
    over.set()
    assert await asyncio.gather(*asking) == [{" meow meow meow meow"}] * 4
    assert await provider.list_adapters() == ["meow"]


# Upstream: test_lora_adapters.py::test_load_lora_adapter_with_load_inplace_false_errors (U-106),
# test_dynamic_lora_not_found (U-107)
async def test_what_the_server_refuses_has_its_status(provider: VLLMProvider, gguf: Files) -> None:
    await provider.load_adapter("meow", gguf.peft("meow"))
    calls = [
        (said(provider, model="no such model"), 404),
        (said(provider, max_tokens=4096), 400),
        (said(provider, "Hello " * 3000), 400),
        (provider.load_adapter("meow", gguf.peft("meow")), 400),
        (provider.load_adapter("scripted", gguf.peft("woof")), 400),
        (provider.unload_adapter("never loaded"), 404),
    ]
    for call, status in calls:
        assert await refused(call) == status
    for name in REFUSED:
        assert await refused(provider.load_adapter("bad", gguf.peft(name))) >= 400
    assert await refused(provider.load_adapter("bad", "/no/such/folder")) >= 400
    assert await provider.list_adapters() == ["meow"]
    assert (await said(provider)).text == HELLO


async def test_a_cancelled_text_is_given_up_by_the_server(provider: VLLMProvider) -> None:
    texts = [asyncio.ensure_future(said(provider, "count", max_tokens=900)) for _ in range(8)]
    await asyncio.sleep(0)
    for text in texts:
        text.cancel()
    await asyncio.gather(*texts, return_exceptions=True)
    assert (await said(provider)).text == HELLO
