"""A GGUF file and its adapters, run by llama.cpp on this machine.

A model has at most one adapter at a time here. A text with another one loads the model again, and
so does a text without an adapter after one with: what is loaded is what was asked for.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from python_worker.exceptions import InvalidArgument
from python_worker.integrations.inference.chat_server import finish_reason, token_count
from python_worker.integrations.inference.llama_cpp_process import (
    LlamaCppProcess,
    Settings,
    threads,
)
from python_worker.integrations.inference.provider import (
    Adapter,
    Generation,
    ModelNotFound,
    ProviderFailed,
    RegisteredAdapters,
    WorkerProvider,
)
from python_worker.integrations.inference.results import GenerationResult

STOP: Final = ("```\n", "\n\n\n")
"""What ends a text: the end of a block of code, and two empty lines."""

OVERRIDES: Final[Mapping[str, str]] = {
    "temperature": "temperature",
    "top_p": "top_p",
    "repetition_penalty": "repeat_penalty",
}
"""By our names: llama.cpp's."""

MAX_PROMPT_BYTES: Final = 32 * 1024 * 1024
"""More than any context; llama.cpp's server ends the connection at 100 MB."""

MAX_CONTEXT: Final = 2**20
MAX_GPU_LAYERS: Final = 2**16


class LlamaCppProvider(WorkerProvider):
    """Generates with llama.cpp. Its texts are made one after the other.

    Args:
        model_path: The GGUF file; it is read at the first text.
        n_ctx: How many tokens prompt and text may have together; 0 for what the model allows.
        n_gpu_layers: How many layers are on a GPU; -1 for all.
    """

    def __init__(self, model_path: str, n_ctx: int = 4096, n_gpu_layers: int = -1) -> None:
        _check("n_ctx", n_ctx, 0, MAX_CONTEXT)
        _check("n_gpu_layers", n_gpu_layers, -1, MAX_GPU_LAYERS)
        self._settings = Settings(model_path, n_ctx, n_gpu_layers, threads())
        self._adapters = RegisteredAdapters()
        self._process: LlamaCppProcess | None = None
        self._loaded_adapter: Adapter | None = None
        self._turn = asyncio.Lock()

    @classmethod
    def new(
        cls, model_path: str | None = None, n_ctx: int = 4096, n_gpu_layers: int = -1
    ) -> LlamaCppProvider:
        """A provider for a GGUF file."""
        return cls(model_path or "", n_ctx, n_gpu_layers)

    async def _generate(self, generation: Generation) -> GenerationResult:
        prompt = generation.joined_prompt
        if len(prompt) > MAX_PROMPT_BYTES or len(prompt.encode()) > MAX_PROMPT_BYTES:
            raise InvalidArgument(
                f"prompt: is longer than {MAX_PROMPT_BYTES} bytes, which is more than any context",
                parameter="prompt",
            )
        async with self._turn:
            process = await self._loaded(self._adapters.find(generation.adapter_id))
            answer = await process.complete(
                {
                    "prompt": prompt,
                    "max_tokens": generation.max_tokens,
                    "stop": list(STOP),
                    **generation.overrides(OVERRIDES),
                }
            )
        return self._result(answer, generation)

    def _result(self, answer: dict[str, Any], generation: Generation) -> GenerationResult:
        match answer:
            case {"choices": [{"text": str(text), **choice}, *_]}:
                return GenerationResult(
                    text=text,
                    model=Path(self._settings.model_path).stem,
                    adapter_id=generation.adapter_id,
                    token_count=token_count(answer),
                    finish_reason=finish_reason(choice),
                )
        raise ProviderFailed("llama.cpp answered without a text")

    async def _loaded(self, adapter: Adapter | None) -> LlamaCppProcess:
        """The process that has the model with this adapter, or without one."""
        process = self._process
        if process is not None and process.runs and self._loaded_adapter == adapter:
            return process
        settings = replace(self._settings, adapter_path=adapter.path if adapter else None)
        await asyncio.to_thread(_check_files, settings)
        await self._drop()
        process = LlamaCppProcess(settings)
        await process.start()
        self._process, self._loaded_adapter = process, adapter
        return process

    async def load_adapter(self, adapter_id: str, path: str) -> None:
        """Makes a GGUF file of an adapter known; it is read at the first text that wants it."""
        self._adapters.register(adapter_id, path)

    async def unload_adapter(self, adapter_id: str) -> None:
        """Forgets an adapter; an unknown one is ignored."""
        self._adapters.forget(adapter_id)

    async def list_adapters(self) -> list[str]:
        """The ids of the adapters, sorted."""
        return self._adapters.ids()

    async def close(self) -> None:
        """Ends the process, after the text that it makes."""
        async with self._turn:
            await self._drop()

    async def _drop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            await asyncio.shield(process.stop())


def _check(name: str, value: int, lowest: int, highest: int) -> None:
    if not lowest <= value <= highest:
        raise InvalidArgument(
            f"{name}: wants an int from {lowest} to {highest}, got {value}", parameter=name
        )


def _check_files(settings: Settings) -> None:
    """Finds out what is missing before a process is started for it."""
    if not settings.model_path:
        raise InvalidArgument(
            "model_path: no GGUF file is named: pass its path, or set LLAMACPP_MODEL_PATH",
            parameter="model_path",
        )
    for what, path in (("model", settings.model_path), ("adapter", settings.adapter_path)):
        if path is not None and not os.path.isfile(path):
            raise ModelNotFound(f"there is no GGUF file of the {what} at {path!r}", path=path)
