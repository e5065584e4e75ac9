"""Stand-ins for what the guards call of vLLM for structures and texts: unit tests have no vLLM."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from python_worker.engines.guards.prompt_ends import PromptEnds


def no_tokens(**arguments: Any) -> Any:
    raise AssertionError("decodes nothing")


def no_text(*arguments: Any) -> Any:
    raise AssertionError("decodes nothing")


def no_prompt_ends() -> PromptEnds:
    """Looks at prompts that need no look."""
    return PromptEnds(object, no_tokens, no_text)


class NoBackends:
    """Takes every structure."""

    validators: Mapping[str, Any] = {}
    strict = frozenset[str]()

    def matches_nothing(self, structure: Any) -> bool:
        return False
