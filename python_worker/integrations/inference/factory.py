"""Makes providers, and keeps them by what they were made from.

Whoever asks for the same type and place gets the same provider. It lives as long as it is kept or
some client holds it: one client's release, or an emptied cache, takes it from nobody else. Without
a holder a kept provider goes on, with its model and its adapters, until the cache is emptied, or
until so many others were asked for since that it is the one unused for longest.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Final
from weakref import WeakSet

from python_worker.exceptions import InvalidArgument
from python_worker.integrations.inference.async_llm import AsyncLLMProvider
from python_worker.integrations.inference.dtypes import resolve_dtype
from python_worker.integrations.inference.llama_cpp import LlamaCppProvider
from python_worker.integrations.inference.ollama import OllamaProvider
from python_worker.integrations.inference.provider import WorkerProvider
from python_worker.integrations.inference.selection import (
    ASYNC_LLM,
    Selection,
    Variables,
    select,
)
from python_worker.integrations.inference.transformers_local import TransformersProvider
from python_worker.integrations.inference.vllm_server import VLLMProvider

logger = logging.getLogger(__name__)

MAX_UNHELD: Final = 32
"""How many kept providers may have no holder: each may have a model in memory."""

Key = tuple[Selection, int]
"""What was asked for, and which engine."""

MAKERS: Final[Mapping[str, Callable[[Selection], WorkerProvider]]] = {
    "vllm": lambda it: VLLMProvider(it.place),
    "ollama": lambda it: OllamaProvider(it.place),
    "llamacpp": lambda it: LlamaCppProvider(it.place),
    "transformers": lambda it: TransformersProvider(it.place, it.device),
}


class Factory:
    """The providers of one worker."""

    def __init__(self) -> None:
        # The one used last is the last.
        self._kept: OrderedDict[Key, WorkerProvider] = OrderedDict()
        self._held: set[WorkerProvider] = set()
        # All that were made and not closed; those that nobody has any more go by themselves.
        self._open: WeakSet[WorkerProvider] = WeakSet()
        self._closing: set[asyncio.Task[None]] = set()

    async def get_provider(
        self,
        type: str | None = None,
        base_url: str | None = None,
        env: dict[str, str] | None = None,
        engine: object = None,
    ) -> WorkerProvider:
        """The provider of a type and a place.

        Args:
            type: See ``selection.TYPES``; the default is in the environment.
            base_url: A URL, the path of a GGUF file, or the name of a model.
            env: Variables that stand before those of the worker's environment.
            engine: The engine of ``async_llm``.
        """
        selection = select(type, base_url, Variables(env))
        if (selection.type == ASYNC_LLM) != (engine is not None):
            raise InvalidArgument(
                f"engine: only the provider {ASYNC_LLM} wants the reference of an engine, and it "
                f"needs one; the type is {selection.type}",
                parameter="engine",
            )
        key = (selection, id(engine))
        provider = self._kept.get(key)
        if provider is None:
            provider = self._kept[key] = self._make(selection, engine)
        self._kept.move_to_end(key)
        # Whoever asked holds it in this same turn of the loop.
        self._held.add(provider)
        return provider

    async def get_provider_for_step(
        self, step: dict[str, Any], env: dict[str, str] | None = None, engine: object = None
    ) -> WorkerProvider:
        """The provider that a step of a pipeline names.

        Args:
            step: A map that may have ``provider`` and ``base_url``; the rest is ignored.
            env: See ``get_provider``.
            engine: See ``get_provider``.
        """
        for name in ("provider", "base_url"):
            if not isinstance(step.get(name), str | None):
                raise InvalidArgument(
                    f"step[{name!r}]: wants a str, got {_class(step[name])}",
                    parameter=f"step[{name!r}]",
                )
        return await self.get_provider(step.get("provider"), step.get("base_url"), env, engine)

    async def clear_cache(self) -> None:
        """Keeps no provider any more. Those that a client holds go on until it lets them go."""
        kept = list(self._kept.values())
        self._kept.clear()
        for provider in kept:
            if provider not in self._held:
                self._close(provider)

    async def stop(self) -> None:
        """The worker stops: closes every provider, so that no process of theirs is left."""
        self._kept.clear()
        await asyncio.gather(*map(_closed, self._open), *self._closing)

    async def resolve_dtype(self, param_count: int, memory_bytes: int) -> str:
        """The dtype that ``TransformersProvider`` takes for a device that is no CPU."""
        return resolve_dtype(param_count, memory_bytes)

    def released(self, provider: WorkerProvider) -> None:
        """No client holds the provider any more."""
        self._held.discard(provider)
        key = next((key for key, kept in self._kept.items() if kept is provider), None)
        if key is None:
            self._close(provider)
        elif key[0].type == ASYNC_LLM:
            # It would keep an engine that was shut down, and can be made again at no cost.
            self._drop(key)
        else:
            unheld = [key for key, kept in self._kept.items() if kept not in self._held]
            for key in unheld[:-MAX_UNHELD]:
                self._drop(key)

    def made(self, provider: WorkerProvider) -> None:
        """A provider has been made that is not kept, or will be."""
        self._open.add(provider)

    def _make(self, selection: Selection, engine: Any) -> WorkerProvider:
        if selection.type == ASYNC_LLM:
            provider: WorkerProvider = AsyncLLMProvider.new(engine)
        else:
            provider = MAKERS[selection.type](selection)
        self.made(provider)
        return provider

    def _drop(self, key: Key) -> None:
        self._close(self._kept.pop(key))

    def _close(self, provider: WorkerProvider) -> None:
        self._open.discard(provider)
        task = asyncio.ensure_future(_closed(provider))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


async def _closed(provider: WorkerProvider) -> None:
    try:
        await provider.close()
    except Exception:
        logger.exception("a %s was not closed", type(provider).__name__)


def _class(value: object) -> str:
    return type(value).__name__
