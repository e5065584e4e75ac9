"""An engine as a provider. A real engine is in ``vllm/test_providers.py``."""

from __future__ import annotations

import pytest

from python_worker.exceptions import InvalidArgument, Unsupported
from python_worker.integrations.inference.async_llm import AsyncLLMProvider
from tests.python.support.inference import Engine, chat


@pytest.fixture
def engine() -> Engine:
    return Engine()


def provider_of(engine: Engine) -> AsyncLLMProvider:
    return AsyncLLMProvider(engine, chat, lambda *request: request)


async def test_a_text_is_a_chat_with_the_overrides(engine: Engine) -> None:
    result = await provider_of(engine).generate("Hello", "", None, 5, "Be brief.", 0.0, 0.5, 1.2)
    assert engine.asked == [
        {
            "model": None,
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "Hello"},
            ],
            "max_tokens": 5,
            "temperature": 0.0,
            "top_p": 0.5,
            "repetition_penalty": 1.2,
        }
    ]
    assert (result.text, result.model, result.adapter_id) == ("base", "served", None)
    assert (result.token_count, result.finish_reason) == (7, "stop")


async def test_no_more_tokens_are_asked_for_than_the_engine_can_have(engine: Engine) -> None:
    await provider_of(engine).generate("Hello", "")
    assert engine.asked[0]["max_tokens"] == 1024


async def test_the_name_of_a_model_is_left_to_the_engine(engine: Engine) -> None:
    assert (await provider_of(engine).generate("Hello", "m")).model == "m"


async def test_adapters_come_go_and_are_replaced(engine: Engine) -> None:
    provider = provider_of(engine)
    await provider.load_adapter("b", "/b")
    await provider.load_adapter("a", "/first")
    first = await provider.generate("Hello", "m", "a")
    assert (first.text, first.model, first.adapter_id) == ("/first", "a", "a")
    await provider.load_adapter("a", "/second")
    assert (await provider.generate("Hello", "m", "a")).text == "/second"
    assert sorted(path for _, path in engine.adapters.values()) == ["/b", "/second"]
    assert await provider.list_adapters() == ["a", "b"]
    await provider.unload_adapter("a")
    await provider.unload_adapter("a")
    with pytest.raises(InvalidArgument, match="no adapter 'a' is loaded"):
        await provider.generate("Hello", "m", "a")


async def test_an_adapter_that_cannot_be_loaded_leaves_the_one_before(engine: Engine) -> None:
    provider = provider_of(engine)
    await provider.load_adapter("a", "/good")
    with pytest.raises(ValueError, match="broken"):
        await provider.load_adapter("a", "/broken")
    assert (await provider.generate("Hello", "m", "a")).text == "/good"


async def test_two_providers_of_an_engine_have_adapters_of_one_name(engine: Engine) -> None:
    one, other = provider_of(engine), provider_of(engine)
    await one.load_adapter("a", "/one")
    await other.load_adapter("a", "/other")
    assert (await one.generate("Hello", "m", "a")).text == "/one"
    assert (await other.generate("Hello", "m", "a")).text == "/other"


async def test_a_provider_that_is_closed_takes_its_own_adapters_along(engine: Engine) -> None:
    one, other = provider_of(engine), provider_of(engine)
    await one.load_adapter("a", "/one")
    await one.load_adapter("b", "/two")
    await other.load_adapter("a", "/other")
    await one.close()
    assert [path for _, path in engine.adapters.values()] == ["/other"]


async def test_an_engine_that_cannot_chat_is_told_apart(engine: Engine) -> None:
    engine.renderer = None
    provider = provider_of(engine)
    for call in (provider.generate("Hello", ""), provider.load_adapter("a", "/a")):
        with pytest.raises(Unsupported, match="chat needs an engine"):
            await call


@pytest.mark.parametrize("engine", [None, "engine", 5, object(), {}])
def test_what_is_no_engine_is_refused(engine: object) -> None:
    with pytest.raises(InvalidArgument, match="engine: wants the reference of an AsyncLLM"):
        AsyncLLMProvider.new(engine)
