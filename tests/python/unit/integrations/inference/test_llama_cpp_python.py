"""A provider in whose environment llama-cpp-python is, and xllamacpp is not.

The library is a stand-in; the process and its server are real.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from python_worker.exceptions import InvalidArgument, MissingDependency
from python_worker.integrations.inference.llama_cpp import STOP, LlamaCppProvider
from python_worker.integrations.inference.llama_cpp_python import CompletionServer
from python_worker.integrations.inference.provider import ProviderFailed
from tests.python.support.llama_cpp_stand_in import (
    DECODE_FAILS,
    ENDLESS,
    ENDS_PROCESS,
    LOAD_FAILS,
    STARTED,
)

ROOT = Path(__file__).parents[5]


@pytest.fixture
def libraries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the process finds first: no xllamacpp, and a stand-in for llama-cpp-python."""
    folder = tmp_path / "libraries"
    folder.mkdir()
    (folder / "xllamacpp.py").write_text("raise ImportError('not installed')")
    (folder / "llama_cpp.py").write_text(
        "from tests.python.support.llama_cpp_stand_in import Llama, StoppingCriteriaList"
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(map(str, (folder, ROOT))))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return folder


@pytest.fixture
async def provider(libraries: Path, tmp_path: Path) -> AsyncIterator[LlamaCppProvider]:
    path = tmp_path / "model.gguf"
    path.write_text("a model")
    provider = LlamaCppProvider.new(str(path), 64)
    yield provider
    await provider.close()


async def asked(provider: LlamaCppProvider, prompt: str = "Hello", **given: Any) -> dict[str, Any]:
    """What the library was asked for a text."""
    result = await provider.generate(prompt, "m", **given)
    assert (result.model, result.token_count, result.finish_reason) == ("model", 7, "length")
    found: dict[str, Any] = json.loads(result.text)
    return found


async def test_the_library_gets_the_settings_and_the_request(
    provider: LlamaCppProvider, tmp_path: Path
) -> None:
    assert await asked(provider, max_tokens=5) == {
        "n_gpu_layers": -1,
        "n_threads": [1, 1],
        "lora": None,
        "verbose": False,
        "prompt": "Hello",
        "max_tokens": 5,
        "sampling": [0.8, 0.95, 1.0],
        "stop": list(STOP),
        "seeded": True,
    }
    overrides = await asked(provider, temperature=0.0, top_p=0.5, repetition_penalty=1.5)
    assert overrides["sampling"] == [0.0, 0.5, 1.5]
    for name in ("one", "two"):
        (tmp_path / name).write_text(name)
        await provider.load_adapter(name, str(tmp_path / name))
        assert (await asked(provider, adapter_id=name))["lora"] == name
    assert (await asked(provider))["lora"] is None


async def test_what_the_library_refuses_is_the_callers_fault(provider: LlamaCppProvider) -> None:
    with pytest.raises(InvalidArgument, match="exceed context window of 64"):
        await provider.generate("x " * 100, "m")
    assert (await asked(provider))["prompt"] == "Hello"


async def test_what_fails_in_the_library_is_an_error_of_the_text(
    provider: LlamaCppProvider,
) -> None:
    with pytest.raises(ProviderFailed, match="RuntimeError: llama_decode returned -3"):
        await provider.generate(DECODE_FAILS, "m")
    with pytest.raises(ProviderFailed, match="ended with SIGABRT"):
        await provider.generate(ENDS_PROCESS, "m")
    assert (await asked(provider))["prompt"] == "Hello"


async def test_what_cannot_be_loaded_is_an_error_of_the_text(
    provider: LlamaCppProvider, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.gguf"
    bad.write_text(LOAD_FAILS)
    broken = LlamaCppProvider.new(str(bad))
    with pytest.raises(ProviderFailed, match=r"cannot be loaded by llama\.cpp: Failed to load"):
        await broken.generate("Hello", "m")
    await provider.load_adapter("bad", str(bad))
    with pytest.raises(ProviderFailed, match="Failed to initialize LoRA adapter"):
        await provider.generate("Hello", "m", "bad")
    assert (await asked(provider))["lora"] is None


async def test_a_text_that_is_given_up_ends_in_the_library(
    provider: LlamaCppProvider, tmp_path: Path
) -> None:
    text = asyncio.ensure_future(provider.generate(ENDLESS, "m"))
    while not (tmp_path / f"model.gguf{STARTED}").exists():
        assert not text.done()
        await asyncio.sleep(0.001)
    assert provider._process is not None
    pid = provider._process.pid
    text.cancel()
    # Its turn comes when the library is done with the text before.
    assert (await asked(provider))["prompt"] == "Hello"
    assert provider._process.pid == pid


async def test_without_either_library_the_error_says_how_to_install_one(
    provider: LlamaCppProvider, libraries: Path
) -> None:
    (libraries / "llama_cpp.py").write_text("raise ImportError('not installed')")
    with pytest.raises(MissingDependency, match=r"mix vllm\.setup --with providers") as raised:
        await provider.generate("Hello", "m")
    assert raised.value.details["library"] == "xllamacpp"


async def test_the_server_answers_one_route_to_who_has_the_key() -> None:
    server = CompletionServer(lambda fields, _left: fields, "secret")
    async with httpx.AsyncClient(base_url=server.listening_address) as client:
        for path, key, status in [
            ("/v1/completions", "secret", 200),
            ("/v1/completions", "other", 401),
            ("/v1/completions", "\xff", 401),
            ("/v1/models", "secret", 404),
        ]:
            headers = {b"Authorization": f"Bearer {key}".encode("latin-1")}
            answer = await client.post(path, headers=headers, json={"prompt": "Hello"})
            assert answer.status_code == status
            assert ("Hello" in answer.text) == (status == 200)
    server.shutdown()
    server.server_close()
