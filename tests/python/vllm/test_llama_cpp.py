"""Real llama.cpp with the scripted model as a GGUF file, and with its adapters."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from python_worker.exceptions import InvalidArgument
from python_worker.integrations.inference.llama_cpp import MAX_PROMPT_BYTES, LlamaCppProvider
from python_worker.integrations.inference.llama_cpp_process import LlamaCppProcess
from python_worker.integrations.inference.provider import ModelNotFound, ProviderFailed
from python_worker.integrations.inference.results import GenerationResult
from python_worker.testing.models.scripted_model import (
    DEFAULT_SCRIPT,
    scripted_model,
)
from tests.python.support.gguf import Files, files_in
from tests.python.support.inference import assert_overrides

HELLO = " from a scripted Llama, token by token"

#: Long enough for a text that is still made when the test stops it.
ENDLESS = 2**31 - 1


@pytest.fixture
async def provider(gguf: Files) -> AsyncIterator[LlamaCppProvider]:
    provider = LlamaCppProvider.new(str(gguf.model), 2048)
    yield provider
    await provider.close()


async def said(
    provider: LlamaCppProvider,
    prompt: str = "Hello",
    adapter_id: str | None = None,
    max_tokens: int = 4096,
) -> GenerationResult:
    return await provider.generate(prompt, "ignored", adapter_id, max_tokens, temperature=0.0)


def running(provider: LlamaCppProvider) -> int:
    """The id of the process."""
    process = provider._process
    assert process is not None
    assert process.pid is not None
    return process.pid


async def test_a_text_is_the_scripts(provider: LlamaCppProvider) -> None:
    assert await said(provider) == GenerationResult(HELLO, "scripted", None, 9, "stop")
    count = await said(provider, "count", max_tokens=3)
    assert count == GenerationResult(" one two three", "scripted", None, 4, "length")
    joined = await provider.generate("Hello", "m", None, 2, "count one two", 0.0)
    assert joined.text == " from a"
    assert joined.token_count > 4


async def test_a_text_is_cut_at_the_end_of_a_block_of_code(tmp_path: Path) -> None:
    script = [*DEFAULT_SCRIPT, ("code", " x = 1", "```\n", " never", "</s>")]
    model = scripted_model(tmp_path / "model", script=script)
    provider = LlamaCppProvider.new(str(files_in(tmp_path, model).model), 512)
    result = await said(provider, "code")
    await provider.close()
    assert (result.text, result.finish_reason) == (" x = 1", "stop")


async def test_the_overrides_are_honoured(provider: LlamaCppProvider) -> None:
    async def text(**overrides: Any) -> str:
        return (await provider.generate("count", "m", None, 20, **overrides)).text

    await assert_overrides(text)


async def test_adapters_change_the_weights_and_leave_them(
    provider: LlamaCppProvider, gguf: Files
) -> None:
    await provider.load_adapter("woof", gguf.gguf("woof"))
    await provider.load_adapter("meow", gguf.gguf("meow"))
    assert await provider.list_adapters() == ["meow", "woof"]
    assert (await said(provider)).text == HELLO
    meow = await said(provider, adapter_id="meow", max_tokens=3)
    assert meow == GenerationResult(" meow meow meow", "scripted", "meow", 4, "length")
    assert (await said(provider, adapter_id="woof", max_tokens=1)).text == " woof"
    await provider.unload_adapter("woof")
    await provider.unload_adapter("never loaded")
    with pytest.raises(InvalidArgument, match="no adapter 'woof' is loaded"):
        await said(provider, adapter_id="woof")
    assert (await said(provider)).text == HELLO


async def test_an_id_that_is_registered_again_has_the_new_weights(
    provider: LlamaCppProvider, gguf: Files, tmp_path: Path
) -> None:
    path = tmp_path / "adapter.gguf"
    for name in ("meow", "woof"):  # in one file, and in another
        shutil.copyfile(gguf.gguf(name), path)
        await provider.load_adapter("a", str(path))
        assert (await said(provider, adapter_id="a", max_tokens=1)).text == f" {name}"
    await provider.load_adapter("a", gguf.gguf("meow"))
    assert (await said(provider, adapter_id="a", max_tokens=1)).text == " meow"


async def test_a_bad_adapter_is_an_error_and_the_model_goes_on(
    provider: LlamaCppProvider, gguf: Files, tmp_path: Path
) -> None:
    half = shutil.copyfile(gguf.gguf("meow"), tmp_path / "half.gguf")
    os.truncate(half, 20_000)
    for path in (__file__, half, gguf.model):
        await provider.load_adapter("bad", str(path))
        with pytest.raises(ProviderFailed, match=r"cannot be loaded by llama\.cpp"):
            await said(provider, adapter_id="bad")
    await provider.load_adapter("bad", str(tmp_path))
    with pytest.raises(ModelNotFound, match="no GGUF file of the adapter"):
        await said(provider, adapter_id="bad")
    assert (await said(provider)).text == HELLO


@pytest.mark.parametrize(
    ("path", "error", "message"),
    [
        ("", InvalidArgument, "LLAMACPP_MODEL_PATH"),
        ("/no/such.gguf", ModelNotFound, "no GGUF file of the model"),
        (__file__, ProviderFailed, r"cannot be loaded by llama\.cpp"),
    ],
)
async def test_a_model_that_is_none_is_an_error_of_the_text(
    path: str, error: type[Exception], message: str
) -> None:
    provider = LlamaCppProvider.new(path)
    with pytest.raises(error, match=message):
        await said(provider)
    await provider.close()


async def test_what_ends_llama_cpp_is_an_error_of_the_text(gguf: Files) -> None:
    provider = LlamaCppProvider.new(str(gguf.model), 1)
    for _ in range(2):
        with pytest.raises(ProviderFailed, match="ended with SIGABRT"):
            await said(provider)
    await provider.close()


async def test_a_prompt_that_does_not_fit_is_refused(provider: LlamaCppProvider) -> None:
    with pytest.raises(InvalidArgument, match="exceeds the available context"):
        await said(provider, "Hello " * 3000)
    with pytest.raises(InvalidArgument, match="more than any context"):
        await said(provider, "x" * (MAX_PROMPT_BYTES + 1))
    assert (await said(provider)).text == HELLO


async def test_texts_at_once_are_made_one_after_the_other(
    provider: LlamaCppProvider, gguf: Files
) -> None:
    await provider.load_adapter("meow", gguf.gguf("meow"))
    results = await asyncio.gather(
        *(said(provider, adapter_id=it, max_tokens=1) for it in (None, "meow") * 3)
    )
    assert [result.text for result in results] == [" from", " meow"] * 3


async def test_a_cancelled_text_makes_room_for_the_next(gguf: Files) -> None:
    provider = LlamaCppProvider.new(str(gguf.model), 2048)
    await said(provider)
    pid = running(provider)
    texts = [asyncio.ensure_future(said(provider, "count", max_tokens=ENDLESS)) for _ in range(3)]
    await asyncio.sleep(0)
    for text in texts:
        text.cancel()
    await asyncio.gather(*texts, return_exceptions=True)
    assert (await said(provider)).text == HELLO
    assert running(provider) == pid
    await provider.close()


async def test_a_process_that_was_killed_is_started_again(provider: LlamaCppProvider) -> None:
    await said(provider)
    os.kill(running(provider), signal.SIGSTOP)
    text = asyncio.ensure_future(said(provider, "count", max_tokens=ENDLESS))
    await asyncio.sleep(0)
    os.kill(running(provider), signal.SIGKILL)
    with pytest.raises(ProviderFailed, match="ended with SIGKILL"):
        await text
    assert (await said(provider)).text == HELLO


async def test_closing_ends_the_process(provider: LlamaCppProvider) -> None:
    await said(provider)
    pid = running(provider)
    await provider.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert (await said(provider)).text == HELLO


async def test_a_start_that_is_cancelled_leaves_no_process(
    provider: LlamaCppProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def ask(_self: object, process: asyncio.subprocess.Process) -> None:
        started.set_result(process.pid)
        await asyncio.Event().wait()

    monkeypatch.setattr(LlamaCppProcess, "_ask", ask)
    text = asyncio.ensure_future(said(provider))
    pid = await started
    text.cancel()
    with pytest.raises(asyncio.CancelledError):
        await text
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
