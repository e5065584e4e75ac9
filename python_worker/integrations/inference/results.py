"""What a generation gives: the same from every provider."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class GenerationResult:
    """A generated text.

    Attributes:
        text: The text, without the prompt.
        model: The model that wrote it, by the name that the provider has for it.
        adapter_id: The adapter that was used; None for the model alone.
        token_count: How many tokens prompt and text have together; 0 where a server did not say.
        finish_reason: ``stop``, or ``length`` where the limit of tokens ended it.
    """

    text: str
    model: str
    adapter_id: str | None
    token_count: int
    finish_reason: str


def as_map(result: GenerationResult) -> dict[str, object]:
    """The fields of a result, as clients receive them."""
    return dataclasses.asdict(result)
