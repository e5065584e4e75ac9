"""An engine of this worker as a provider: no server, no second copy of the model.

A text is a chat of ``AsyncLLM.chat``, with everything that holds for it: the engine is shared with
its other callers, what would harm it is refused, and a text ends with its call.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Protocol

from python_worker.chat.completions import Chats
from python_worker.chat.templates import check_engine
from python_worker.engines.builder import abort
from python_worker.exceptions import InvalidArgument
from python_worker.integrations.inference.provider import (
    Generation,
    WorkerProvider,
    named,
    unknown_adapter,
)
from python_worker.integrations.inference.results import GenerationResult

logger = logging.getLogger(__name__)

OVERRIDES: Final[Mapping[str, str]] = {
    name: name for name in ("temperature", "top_p", "repetition_penalty")
}


class Engine(Protocol):
    """What is used of an engine beside its chats."""

    @property
    def model_config(self) -> Any:
        """VLLM's configuration of its model."""

    async def add_lora(self, lora_request: Any) -> bool:
        """Loads an adapter."""

    async def remove_lora(self, lora_id: int) -> bool:
        """Unloads an adapter."""


Chat = Callable[[Any, dict[str, Any]], Awaitable[Any]]
"""``Chats.chat``."""


def lora_request(name: str, lora_id: int, path: str) -> Any:
    """What vLLM loads an adapter by."""
    from vllm.lora.request import LoRARequest

    return LoRARequest(lora_name=name, lora_int_id=lora_id, lora_path=path)


class AsyncLLMProvider(WorkerProvider):
    """Generates with an engine.

    Args:
        engine: The engine.
        chat: Has the engine answer a chat.
        make_request: Makes the request for an adapter.

    Attributes:
        engine: The engine, with whose death the calls of the provider end.
    """

    def __init__(
        self,
        engine: Engine,
        chat: Chat | None = None,
        make_request: Callable[[str, int, str], Any] = lora_request,
    ) -> None:
        self.engine = engine
        self._chat = chat or Chats(abort).chat
        self._make_request = make_request
        # By their ids here: those in the engine, where other callers have adapters of their own.
        self._adapters: dict[str, int] = {}
        self._changing = asyncio.Lock()

    @classmethod
    def new(cls, engine: object) -> AsyncLLMProvider:
        """A provider for an engine of this worker."""
        return cls(checked_engine(engine))

    async def _generate(self, generation: Generation) -> GenerationResult:
        check_engine(self.engine)
        adapter_id = generation.adapter_id
        model = generation.model or None
        if adapter_id is not None:
            if adapter_id not in self._adapters:
                raise unknown_adapter(adapter_id, sorted(self._adapters))
            model = _lora_name(adapter_id, self._adapters[adapter_id])
        answer = await self._chat(
            self.engine,
            {
                "model": model,
                "messages": generation.messages,
                # vLLM refuses more than a context; what fits behind the prompt it finds itself.
                "max_tokens": min(generation.max_tokens, self.engine.model_config.max_model_len),
                **generation.overrides(OVERRIDES),
            },
        )
        (choice,) = answer.choices
        return GenerationResult(
            text=choice.message.content or "",
            model=answer.model if adapter_id is None else adapter_id,
            adapter_id=adapter_id,
            token_count=answer.usage.total_tokens,
            finish_reason=choice.finish_reason,
        )

    async def load_adapter(self, adapter_id: str, path: str) -> None:
        """Loads a PEFT folder in the engine, in place of what had the id."""
        named(adapter_id)
        check_engine(self.engine)  # before anything that would import vLLM
        async with self._changing:
            # A new id of its own: to vLLM an id that it has loaded is what it has loaded.
            lora_id = secrets.randbelow(2**62) + 1
            request = await asyncio.to_thread(
                self._make_request, _lora_name(adapter_id, lora_id), lora_id, path
            )
            await self.engine.add_lora(request)
            before = self._adapters.get(adapter_id)
            self._adapters[adapter_id] = lora_id
            if before is not None:
                await self.engine.remove_lora(before)

    async def unload_adapter(self, adapter_id: str) -> None:
        """Unloads an adapter in the engine; an unknown one is ignored."""
        async with self._changing:
            lora_id = self._adapters.pop(adapter_id, None)
            if lora_id is not None:
                await self.engine.remove_lora(lora_id)

    async def list_adapters(self) -> list[str]:
        """The ids of the adapters that were loaded with this provider, sorted."""
        return sorted(self._adapters)

    async def close(self) -> None:
        """Unloads the adapters; the engine goes on."""
        for adapter_id in list(self._adapters):
            try:
                await self.unload_adapter(adapter_id)
            except Exception as error:
                # Where the engine is dead or shut down, they are gone with it.
                logger.debug("unloading adapter %r failed: %s", adapter_id, error)


def _lora_name(adapter_id: str, lora_id: int) -> str:
    return f"{adapter_id} ({lora_id})"


# What every engine has, and nothing else that a client may hold.
_MEMBERS: Final = ("add_lora", "remove_lora", "generate", "errored", "dead_error")


def checked_engine(engine: object) -> Any:
    """An engine.

    Raises:
        InvalidArgument: It is none.
    """
    if not all(hasattr(type(engine), name) for name in _MEMBERS):
        raise InvalidArgument(
            f"engine: wants the reference of an AsyncLLM, got {type(engine).__name__}",
            parameter="engine",
        )
    return engine
