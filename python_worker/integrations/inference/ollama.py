"""A server of Ollama's, or another that speaks its ``/v1``, such as llama.cpp's own."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final

from python_worker.integrations.inference.chat_server import ChatServerProvider
from python_worker.integrations.inference.provider import Generation, UnsupportedOperationError
from python_worker.integrations.inference.selection import PLACES

logger = logging.getLogger(__name__)

API_KEY: Final = "ollama"

OVERRIDES: Final[Mapping[str, str]] = {
    "temperature": "temperature",
    "top_p": "top_p",
    # OpenAI's API has no such field. This is its name in Ollama's own API and in llama.cpp.
    "repetition_penalty": "repeat_penalty",
}
"""By our names: the server's."""


class OllamaProvider(ChatServerProvider):
    """Generates on a server of Ollama's. It has no adapters: make a model of each with Ollama.

    Args:
        base_url: Its URL, up to ``/v1``.
    """

    def __init__(self, base_url: str) -> None:
        super().__init__(base_url, API_KEY)

    @classmethod
    def new(cls, base_url: str | None = None) -> OllamaProvider:
        """A provider for a server; the default is Ollama's on this machine."""
        return cls(base_url or PLACES["ollama"].default)

    def _body(self, generation: Generation) -> dict[str, object]:
        if generation.adapter_id:
            logger.warning(
                "Ollama has no adapters: adapter_id %r is ignored", generation.adapter_id
            )
        return {
            "model": generation.model,
            "messages": generation.messages,
            "max_tokens": generation.max_tokens,
            **generation.overrides(OVERRIDES),
        }

    def _adapter(self, generation: Generation) -> str | None:
        return None

    async def load_adapter(self, adapter_id: str, path: str) -> None:
        """Raises: Ollama has no adapters."""
        raise _unsupported("load_adapter")

    async def unload_adapter(self, adapter_id: str) -> None:
        """Raises: Ollama has no adapters."""
        raise _unsupported("unload_adapter")

    async def list_adapters(self) -> list[str]:
        """An empty list."""
        return []


def _unsupported(method: str) -> UnsupportedOperationError:
    return UnsupportedOperationError(
        f"{method}: Ollama has no adapters; make a model with the adapter (`ollama create`) and "
        "pass its name as the model",
        method=method,
    )
