"""Images that were processed and never sent: vLLM takes them for sent.

What vLLM has processed it remembers, and sends only its name the next time, because EngineCore has
a copy. But a request may be refused, or given up, after its images were processed; and of two
requests with the same image the second may come to EngineCore first. EngineCore then has no copy,
and the request that sends only the name ends with an error. Here an image counts as remembered when
it has been sent. Until then it is processed again, and sent whole.
"""

from __future__ import annotations

from typing import Any, Final

from python_worker.engines.guards.protocols import EngineCoreRequest, MultiModalCache
from python_worker.exceptions import InvalidArgument

MANY: Final = 4096
"""Unsent items from which on those are forgotten that vLLM has forgotten."""


class UnsentItems:
    """The images, videos and sounds of one engine that EngineCore may not have.

    Args:
        cache: vLLM's memory of what was processed; None where it has none that sends only names.
    """

    def __init__(self, cache: MultiModalCache | None) -> None:
        # A dictionary, because it keeps an order and its operations are whole between threads.
        self._unsent: dict[str, None] = {}
        if cache is not None:
            self._cache = cache
            self._is_cached = cache.is_cached_item
            self._update = cache.get_and_update_item
            cache.is_cached_item = self._is_sent
            cache.get_and_update_item = self._get_and_update

    def sent(self, request: EngineCoreRequest) -> None:
        """Take note of a request that EngineCore gets."""
        for feature in request.mm_features or ():
            if feature.data is not None and feature.mm_hash is not None:
                self._unsent.pop(feature.mm_hash, None)

    def _is_sent(self, mm_hash: str) -> bool:
        return mm_hash not in self._unsent and self._is_cached(mm_hash)

    def _get_and_update(self, mm_item: Any, mm_hash: str) -> Any:
        """In place of vLLM's: its answer is the item to send, or None for the name alone."""
        if not self._is_sent(mm_hash):
            if mm_item is None:
                raise InvalidArgument(
                    f"multi_modal_uuids: the engine has no data of {mm_hash!r}, or no longer; "
                    "send it with its data",
                    parameter="multi_modal_uuids",
                )
            self._cache.invalidate(mm_hash)
            self._unsent[mm_hash] = None
            if len(self._unsent) > MANY:
                self._forget()
        return self._update(mm_item, mm_hash)

    def _forget(self) -> None:
        for mm_hash in list(self._unsent)[:-1]:
            if not self._is_cached(mm_hash):
                self._unsent.pop(mm_hash, None)
