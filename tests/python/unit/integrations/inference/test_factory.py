"""Providers are made once, and kept as long as somebody may want them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from python_worker.exceptions import InvalidArgument
from python_worker.integrations.inference.async_llm import AsyncLLMProvider
from python_worker.integrations.inference.factory import MAKERS, MAX_UNHELD, Factory
from python_worker.integrations.inference.llama_cpp import LlamaCppProvider
from python_worker.integrations.inference.ollama import OllamaProvider
from python_worker.integrations.inference.provider import WorkerProvider
from python_worker.integrations.inference.selection import PLACES
from python_worker.integrations.inference.transformers_local import TransformersProvider
from python_worker.integrations.inference.vllm_server import VLLMProvider
from tests.python.support.inference import Engine

CLASSES: dict[str, type[WorkerProvider]] = {
    "vllm": VLLMProvider,
    "ollama": OllamaProvider,
    "llamacpp": LlamaCppProvider,
    "transformers": TransformersProvider,
}


@pytest.fixture
def factory() -> Factory:
    return Factory()


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The providers that were closed."""
    providers: list[object] = []
    for cls in (*CLASSES.values(), AsyncLLMProvider):

        async def close(self: object) -> None:
            providers.append(self)

        monkeypatch.setattr(cls, "close", close)
    return providers


async def settled(factory: Factory) -> None:
    await asyncio.gather(*factory._closing)


# Upstream: test_factory.py::test_get_provider_vllm_returns_vllm_provider (U-91), _ollama_ (U-92)
@pytest.mark.parametrize("type", MAKERS)
async def test_a_type_has_its_class(factory: Factory, type: str) -> None:
    assert isinstance(await factory.get_provider(type), CLASSES[type])


async def test_the_same_type_and_place_is_the_same_provider(factory: Factory) -> None:
    first = await factory.get_provider("vllm")
    assert await factory.get_provider("VLLM", "http://localhost:8100/v1") is first
    assert await factory.get_provider() is first
    other = await factory.get_provider("vllm", "http://localhost:8101/v1")
    assert other is not first
    assert await factory.get_provider("ollama", "http://localhost:8101/v1") is not other
    env = {"VLLM_BASE_URL": "http://localhost:8101/v1"}
    assert await factory.get_provider("vllm", env=env) is other


# Upstream: test_factory.py::test_get_provider_for_step_returns_ollama_provider (U-97),
# test_get_provider_for_step_custom_base_url (U-98)
async def test_a_step_names_its_provider(factory: Factory) -> None:
    step = {"provider": "ollama", "base_url": "http://elsewhere:1/v1", "prompt": 5}
    provider = await factory.get_provider_for_step(step)
    assert isinstance(provider, OllamaProvider)
    assert provider is await factory.get_provider("ollama", "http://elsewhere:1/v1")
    assert await factory.get_provider_for_step({}) is await factory.get_provider()
    env = {"INFERENCE_PROVIDER": "ollama"}
    assert isinstance(await factory.get_provider_for_step({}, env), OllamaProvider)


@pytest.mark.parametrize("name", ["provider", "base_url"])
@pytest.mark.parametrize("value", [5, b"x", ["vllm"], {}, True])
async def test_a_step_with_a_wrong_type_is_refused_by_name(
    factory: Factory, name: str, value: object
) -> None:
    with pytest.raises(InvalidArgument, match=rf"step\['{name}'\]: wants a str"):
        await factory.get_provider_for_step({name: value})


async def test_a_provider_that_nobody_holds_is_kept(factory: Factory, closed: list[object]) -> None:
    provider = await factory.get_provider("vllm")
    factory.released(provider)
    assert await factory.get_provider("vllm") is provider
    assert closed == []


async def test_an_emptied_cache_takes_a_provider_from_nobody(
    factory: Factory, closed: list[object]
) -> None:
    held = await factory.get_provider("vllm")
    unheld = await factory.get_provider("ollama")
    factory.released(unheld)
    await factory.clear_cache()
    await settled(factory)
    assert closed == [unheld]
    assert await factory.get_provider("vllm") is not held
    factory.released(held)
    await settled(factory)
    assert closed == [unheld, held]


async def test_at_the_workers_stop_every_provider_is_closed(
    factory: Factory, closed: list[object]
) -> None:
    held = await factory.get_provider("vllm")
    kept = await factory.get_provider("ollama")
    factory.released(kept)
    own, dropped = VLLMProvider.new(), VLLMProvider.new()
    factory.made(own)
    factory.made(dropped)
    factory.released(dropped)
    await factory.stop()
    assert len(closed) == 4
    assert set(closed) == {held, kept, own, dropped}


async def test_one_that_is_asked_for_again_is_held_again(
    factory: Factory, closed: list[object]
) -> None:
    provider = await factory.get_provider("vllm")
    factory.released(provider)
    await factory.get_provider("vllm")
    await factory.clear_cache()
    await settled(factory)
    assert closed == []


async def test_only_so_many_are_kept_without_a_holder(
    factory: Factory, closed: list[object]
) -> None:
    held = await factory.get_provider("vllm", "http://held:1/v1")
    providers = []
    for port in range(1, MAX_UNHELD + 3):
        providers.append(await factory.get_provider("vllm", f"http://host:{port}/v1"))
        factory.released(providers[-1])
    await settled(factory)
    assert closed == providers[:2]
    assert await factory.get_provider("vllm", "http://held:1/v1") is held


async def test_one_that_was_made_without_the_cache_is_closed_when_it_is_released(
    factory: Factory, closed: list[object]
) -> None:
    provider = VLLMProvider.new()
    factory.released(provider)
    await settled(factory)
    assert closed == [provider]


async def test_an_engine_has_one_provider_as_long_as_somebody_holds_it(
    factory: Factory, closed: list[object]
) -> None:
    engine, other = Engine(), Engine()
    provider = await factory.get_provider("async_llm", engine=engine)
    assert await factory.get_provider("Async_LLM", engine=engine) is provider
    assert await factory.get_provider("async_llm", engine=other) is not provider
    factory.released(provider)
    await settled(factory)
    assert closed == [provider]
    assert await factory.get_provider("async_llm", engine=engine) is not provider


@pytest.mark.parametrize(
    "arguments",
    [
        {"type": "async_llm"},
        {"type": "vllm", "engine": Engine()},
        {"type": "async_llm", "engine": "an engine"},
        {"type": "async_llm", "engine": VLLMProvider("http://x:1/v1")},
    ],
)
async def test_an_engine_that_is_missing_or_is_none_is_refused(
    factory: Factory, arguments: dict[str, Any]
) -> None:
    with pytest.raises(InvalidArgument, match="engine"):
        await factory.get_provider(**arguments)


async def test_arguments_that_make_no_provider_keep_none(factory: Factory) -> None:
    with pytest.raises(InvalidArgument, match="base_url"):
        await factory.get_provider("vllm", "no URL")
    assert not factory._kept


async def test_a_provider_that_cannot_be_closed_is_logged(
    factory: Factory, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(self: object) -> None:
        raise OSError("no room")

    monkeypatch.setattr(VLLMProvider, "close", fail)
    factory.released(VLLMProvider.new())
    await settled(factory)
    assert "a VLLMProvider was not closed" in caplog.text


def test_every_type_with_a_place_has_a_maker() -> None:
    assert set(MAKERS) == set(PLACES) == set(CLASSES)


async def test_the_dtype_is_that_of_the_function(factory: Factory) -> None:
    assert await factory.resolve_dtype(10**9, 10**10) == "float32"
