"""What a caller may set for one request, and what LLaMA-Factory does not make of it itself."""

from __future__ import annotations

import logging
from dataclasses import dataclass, fields
from typing import Any, Final

logger = logging.getLogger(__name__)

# Known to other back ends of LLaMA-Factory, and without effect here, as there.
WITHOUT_EFFECT: Final = ("do_sample", "num_beams", "length_penalty")

# No parameter of LLaMA-Factory's engine.
_OWN: Final = ("seed", "do_sample", "num_beams")


@dataclass(frozen=True)
class GenerationOptions:
    """The keywords of ``VllmEngine.chat``; None for the value of the generating arguments.

    Attributes:
        do_sample: Without effect.
        temperature: 0 for the likeliest text.
        top_p: The share of likely tokens to choose from; 0 stands for 1.
        top_k: How many likely tokens to choose from; 0 stands for all.
        num_return_sequences: How many answers.
        repetition_penalty: Above 1 repeats less; 0 stands for 1.
        length_penalty: Without effect.
        num_beams: Without effect.
        skip_special_tokens: Whether special tokens are left out of texts.
        max_length: The most tokens of prompt and answer together.
        max_new_tokens: The most tokens of an answer; goes before ``max_length``.
        stop: Texts that end an answer.
        seed: Of the random numbers.
    """

    do_sample: bool | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    num_return_sequences: int | None = None
    repetition_penalty: float | None = None
    length_penalty: float | None = None
    num_beams: int | None = None
    skip_special_tokens: bool | None = None
    max_length: int | None = None
    max_new_tokens: int | None = None
    stop: str | list[str] | None = None
    seed: int | None = None

    def keywords(self) -> dict[str, Any]:
        """Those that are parameters of LLaMA-Factory's engine."""
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        return {
            name: value for name, value in given.items() if value is not None and name not in _OWN
        }

    def added(self) -> dict[str, Any]:
        """The sampling parameters that LLaMA-Factory's engine does not know."""
        return {} if self.seed is None else {"seed": self.seed}

    def warn(self) -> None:
        """Says in the log which have no effect."""
        for name in WITHOUT_EFFECT:
            if getattr(self, name) is not None:
                logger.warning("the option %s has no effect on a vLLM engine", name)
