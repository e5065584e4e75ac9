"""A server of vLLM's, ``vllm serve``, whose adapters are loaded and unloaded while it runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from python_worker.integrations.inference.chat_server import ChatServerProvider
from python_worker.integrations.inference.provider import Generation, named
from python_worker.integrations.inference.selection import PLACES

API_KEY: Final = "not-needed-for-local-vllm"

OVERRIDES: Final[Mapping[str, str]] = {
    name: name for name in ("temperature", "top_p", "repetition_penalty")
}
"""By our names: vLLM's. The penalty is a field of vLLM's own."""


class VLLMProvider(ChatServerProvider):
    """Generates on a server of vLLM's.

    The server has to run with ``--enable-lora`` and ``VLLM_ALLOW_RUNTIME_LORA_UPDATING=1`` for
    adapters. It is not asked which it has: the list is of those that were loaded here.

    Args:
        base_url: Its URL, up to ``/v1``.
    """

    def __init__(self, base_url: str) -> None:
        super().__init__(base_url, API_KEY)
        self._adapters: set[str] = set()

    @classmethod
    def new(cls, base_url: str | None = None) -> VLLMProvider:
        """A provider for a server; the default is vLLM's on this machine."""
        return cls(base_url or PLACES["vllm"].default)

    def _body(self, generation: Generation) -> dict[str, object]:
        return {
            # The server knows an adapter as one more model.
            "model": generation.adapter_id or generation.model,
            "messages": generation.messages,
            "max_tokens": generation.max_tokens,
            **generation.overrides(OVERRIDES),
        }

    def _adapter(self, generation: Generation) -> str | None:
        return generation.adapter_id or None

    async def load_adapter(self, adapter_id: str, path: str) -> None:
        """Loads an adapter in the server. The path is one of the server's machine."""
        body = {"lora_name": named(adapter_id), "lora_path": path}
        await self._client.post("/load_lora_adapter", body)
        self._adapters.add(adapter_id)

    async def unload_adapter(self, adapter_id: str) -> None:
        """Unloads an adapter in the server."""
        await self._client.post("/unload_lora_adapter", {"lora_name": named(adapter_id)})
        self._adapters.discard(adapter_id)

    async def list_adapters(self) -> list[str]:
        """The ids of the adapters that were loaded with this provider, sorted."""
        return sorted(self._adapters)
