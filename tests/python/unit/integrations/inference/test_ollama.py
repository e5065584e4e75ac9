"""The provider of Ollama: what it asks for. A real server is in ``vllm/test_ollama_server.py``."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator

import pytest

from python_worker.integrations.inference.ollama import OllamaProvider
from python_worker.integrations.inference.provider import UnsupportedOperationError
from tests.python.support.recorder import Recorder


@pytest.fixture
async def provider(recorder: Recorder) -> AsyncIterator[OllamaProvider]:
    provider = OllamaProvider.new(recorder.url)
    yield provider
    await provider.close()


async def test_a_text_is_asked_for_with_ollamas_names(
    provider: OllamaProvider, recorder: Recorder
) -> None:
    await provider.generate("Hello", "m", None, 5, "Be brief.", 0.0, 0.5, 1.2)
    assert recorder.last.path == "/v1/chat/completions"
    assert recorder.last.headers["authorization"] == "Bearer ollama"
    assert recorder.last.body == {
        "model": "m",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hello"},
        ],
        "max_tokens": 5,
        "temperature": 0.0,
        "top_p": 0.5,
        "repeat_penalty": 1.2,
    }


# Upstream: test_ollama_provider.py::test_generate_ignores_adapter_id_and_logs_warning (U-103),
# test_generate_returns_result_with_none_adapter_id (U-109)
async def test_an_adapter_is_ignored_with_a_warning(
    provider: OllamaProvider, recorder: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        result = await provider.generate("Hello", "m", adapter_id="meow")
    assert (recorder.last.body["model"], result.adapter_id) == ("m", None)
    assert "adapter_id 'meow' is ignored" in caplog.text


# Upstream: test_load_adapter_raises… (U-110), test_unload_adapter_raises… (U-111),
# test_list_adapters_returns_empty_list (U-112)
async def test_there_are_no_adapters(provider: OllamaProvider, recorder: Recorder) -> None:
    with pytest.raises(UnsupportedOperationError, match="load_adapter: Ollama has no adapters"):
        await provider.load_adapter("meow", "/meow")
    with pytest.raises(UnsupportedOperationError, match="unload_adapter: Ollama has no adapters"):
        await provider.unload_adapter("meow")
    assert await provider.list_adapters() == []
    assert recorder.requests == []
