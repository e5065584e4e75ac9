"""Which adapters are in use: those of the requests that have not ended.

vLLM does not tell when a request has ended, and to look at all of them for each that comes takes
the square of their number. So what has been seen is remembered: it may be more than is in use,
and is never less. Only where that would refuse a request are the requests themselves looked at.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager

from python_worker.engines.guards.protocols import LoRARequest, OutputProcessor

# How many names are remembered before it is looked which of them are still in use.
MIN_REMEMBERED = 64


class AdaptersInUse:
    """The adapters of one engine's requests.

    Args:
        output_processor: vLLM's, whose ``request_states`` are the requests.
    """

    def __init__(self, output_processor: OutputProcessor) -> None:
        self._output_processor = output_processor
        # Of requests that EngineCore has not been sent yet.
        self._arriving: dict[object, LoRARequest] = {}
        # Ids by name. No two adapters in use have one name.
        self._seen: dict[str, int] = {}
        self._look_at = MIN_REMEMBERED

    def namesake(self, lora_request: LoRARequest) -> int | None:
        """The id of another adapter in use that has the same name."""
        name, lora_id = lora_request.lora_name, lora_request.lora_int_id
        if self._seen.get(name, lora_id) != lora_id:
            self._look()
        other = self._seen.get(name, lora_id)
        return None if other == lora_id else other

    def fit(self, slots: int, pinned: Collection[int]) -> bool:
        """Whether any step finds slots for its adapters beside the pinned ones."""
        if not pinned or len({*pinned, *self._seen.values()}) <= slots:
            return True
        self._look()
        return len({*pinned, *self._seen.values()}) <= slots

    @contextmanager
    def arrival(self, lora_request: LoRARequest) -> Iterator[None]:
        """Count an adapter until its request is one of vLLM's; it has no namesake."""
        if len(self._seen) >= self._look_at:
            self._look()
            self._look_at = max(MIN_REMEMBERED, 2 * len(self._seen))
        self._seen[lora_request.lora_name] = lora_request.lora_int_id
        mark = object()
        self._arriving[mark] = lora_request
        try:
            yield
        finally:
            del self._arriving[mark]

    def _look(self) -> None:
        used: list[LoRARequest | None] = list(self._arriving.values())
        used += [it.lora_request for it in self._output_processor.request_states.values()]
        self._seen = {it.lora_name: it.lora_int_id for it in used if it is not None}
