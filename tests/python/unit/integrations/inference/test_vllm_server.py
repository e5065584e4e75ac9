"""The provider of vLLM's server: what it asks for. ``vllm/test_vllm_server.py`` has a real one."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from python_worker.exceptions import HttpStatus, InvalidArgument
from python_worker.integrations.inference.vllm_server import VLLMProvider
from tests.python.support.recorder import Answer, Recorder


@pytest.fixture
async def provider(recorder: Recorder) -> AsyncIterator[VLLMProvider]:
    provider = VLLMProvider.new(recorder.url + "/")
    yield provider
    await provider.close()


# Upstream: test_vllm_provider.py::TestVLLMProviderGenerate (U-119)
async def test_a_text_is_asked_for_by_model_and_messages(
    provider: VLLMProvider, recorder: Recorder
) -> None:
    result = await provider.generate("Hello", "m", system_prompt="Be brief.")
    assert recorder.last.path == "/v1/chat/completions"
    assert recorder.last.headers["authorization"] == "Bearer not-needed-for-local-vllm"
    assert recorder.last.body == {
        "model": "m",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hello"},
        ],
        "max_tokens": 4096,
    }
    assert (result.text, result.model, result.token_count) == ("a text", "served", 7)
    assert (result.adapter_id, result.finish_reason) == (None, "stop")


async def test_an_adapter_is_asked_for_as_a_model(
    provider: VLLMProvider, recorder: Recorder
) -> None:
    result = await provider.generate("Hello", "m", adapter_id="meow")
    assert (recorder.last.body["model"], result.adapter_id) == ("meow", "meow")


async def test_the_overrides_are_sent(provider: VLLMProvider, recorder: Recorder) -> None:
    await provider.generate("Hello", "m", None, 5, None, 0.0, 0.5, 1.2)
    sent = recorder.last.body
    assert {name: sent[name] for name in sent if name not in ("model", "messages")} == {
        "max_tokens": 5,
        "temperature": 0.0,
        "top_p": 0.5,
        "repetition_penalty": 1.2,
    }


# Upstream: TestVLLMProviderAdapterLifecycle::test_load_adapter_posts_to_correct_endpoint (U-99),
# test_unload_… (U-100), test_list_adapters_returns_internal_tracking_set (U-101),
# test_loading_two_adapters_lists_both (U-102)
async def test_adapters_are_loaded_and_unloaded_on_the_server_and_listed_from_here(
    provider: VLLMProvider, recorder: Recorder
) -> None:
    recorder.answer = Answer(body=b"Success: LoRA adapter added successfully.")
    for name in ("woof", "meow"):
        await provider.load_adapter(name, f"/adapters/{name}")
        assert recorder.last.path == "/v1/load_lora_adapter"
        assert recorder.last.body == {"lora_name": name, "lora_path": f"/adapters/{name}"}
    assert await provider.list_adapters() == ["meow", "woof"]
    await provider.unload_adapter("meow")
    assert recorder.last.path == "/v1/unload_lora_adapter"
    assert recorder.last.body == {"lora_name": "meow"}
    assert await provider.list_adapters() == ["woof"]
    assert len(recorder.requests) == 3


async def test_what_the_server_refuses_changes_no_list(
    provider: VLLMProvider, recorder: Recorder
) -> None:
    await provider.load_adapter("woof", "/woof")
    recorder.answer = Answer(404, {"error": {"message": "not there"}})
    with pytest.raises(HttpStatus, match="404: not there"):
        await provider.load_adapter("meow", "/meow")
    with pytest.raises(HttpStatus, match="404: not there"):
        await provider.unload_adapter("woof")
    assert await provider.list_adapters() == ["woof"]


async def test_an_adapter_needs_a_name(provider: VLLMProvider, recorder: Recorder) -> None:
    with pytest.raises(InvalidArgument, match="adapter_id"):
        await provider.load_adapter("", "/meow")
    with pytest.raises(InvalidArgument, match="adapter_id"):
        await provider.unload_adapter("")
    assert recorder.requests == []
