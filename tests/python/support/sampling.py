"""Sampling parameters as vLLM has completed them, for the guards: unit tests have no vLLM."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any


def sampling(*, stops: tuple[int, ...] = (), words: Any = None, **given: Any) -> Any:
    """A SamplingParams.

    Args:
        stops: The ids that end a sequence.
        words: The ids of each of ``bad_words``.
        given: Its fields.
    """
    fields: dict[str, Any] = {
        "min_tokens": 0,
        "allowed_token_ids": None,
        "logit_bias": None,
        "bad_words": words and ["word"] * len(words),
        "bad_words_token_ids": words,
        "all_stop_token_ids": set(stops),
        "stop_token_ids": None,
        "structured_outputs": None,
        "thinking_token_budget": None,
        "trace_decode_token_ids": None,
    }
    return SimpleNamespace(**fields | given)
