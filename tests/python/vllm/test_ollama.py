"""Ollama's provider on a real llama.cpp server, which speaks the same ``/v1``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from python_worker.exceptions import HttpStatus, Unreachable
from python_worker.integrations.inference.ollama import OllamaProvider
from tests.python.support.gguf import Files
from tests.python.support.inference import assert_overrides
from tests.python.support.model_servers import llama_cpp_server

HELLO = " from a scripted Llama, token by token"


@pytest.fixture(scope="module")
def url(gguf: Files) -> Iterator[str]:
    with llama_cpp_server(gguf.model) as url:
        yield url


@pytest.fixture
async def provider(url: str) -> AsyncIterator[OllamaProvider]:
    provider = OllamaProvider.new(url)
    yield provider
    await provider.close()


async def test_a_text_is_the_scripts(provider: OllamaProvider) -> None:
    result = await provider.generate("Hello", "scripted", temperature=0.0)
    assert (result.text, result.model, result.adapter_id) == (HELLO, "scripted", None)
    assert result.finish_reason == "stop"
    limited = await provider.generate("Hello", "scripted", "meow", 3, temperature=0.0)
    assert (limited.text, limited.adapter_id) == (" from a scripted", None)
    assert limited.finish_reason == "length"
    assert result.token_count - limited.token_count == 5


async def test_the_overrides_are_honoured(provider: OllamaProvider) -> None:
    async def text(**overrides: Any) -> str:
        return (await provider.generate("count", "scripted", None, 20, **overrides)).text

    await assert_overrides(text)


async def test_a_prompt_that_does_not_fit_is_the_servers_400(provider: OllamaProvider) -> None:
    with pytest.raises(HttpStatus, match="exceeds the available context") as caught:
        await provider.generate("Hello " * 3000, "scripted")
    assert caught.value.details["status"] == 400


async def test_a_server_that_ended_is_unreachable(gguf: Files) -> None:
    with llama_cpp_server(gguf.model) as url:
        provider = OllamaProvider.new(url)
        assert (await provider.generate("Hello", "m", temperature=0.0)).text == HELLO
    with pytest.raises(Unreachable):
        await provider.generate("Hello", "m", temperature=0.0)
    await provider.close()
