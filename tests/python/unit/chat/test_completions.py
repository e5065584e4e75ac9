"""Whether a format holds from the first token, with requests of vLLM 0.31 and later."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from python_worker.chat import completions


class Parser:
    """Of vLLM's parser, what is asked of it."""

    def __init__(self, *, reasons: bool) -> None:
        self.reasoning_parser = object() if reasons else None

    def is_reasoning_end(self, prompt_ids: list[int]) -> bool:
        return prompt_ids[-1] == 9


class AskedRequest:
    """A request of vLLM 0.32, which says it itself."""

    def resolve_reasoning_ended(self, parser: object, prompt_ids: list[int]) -> object:
        return (parser, prompt_ids)


def ended(parser: object = None, last: int = 9, **changes: bool) -> Any:
    """What is made of a request of vLLM 0.31."""
    fields = {"include_reasoning": True, "_grammar_from_parser": False, **changes}
    return completions._reasoning_ended(SimpleNamespace(**fields), parser, [1, last])


def test_a_request_that_can_say_it_is_asked() -> None:
    asked: Any = completions._reasoning_ended(AskedRequest(), "parser", [1])
    assert asked == ("parser", [1])


def test_without_reasoning_the_format_holds_from_the_first_token() -> None:
    assert ended(include_reasoning=False) is True
    assert ended(_grammar_from_parser=True) is True


@pytest.mark.parametrize(("last", "expected"), [(9, True), (8, False)])
def test_a_parser_that_knows_reasoning_looks_at_the_prompt(last: int, expected: bool) -> None:
    assert ended(Parser(reasons=True), last) is expected


def test_otherwise_the_engine_looks() -> None:
    assert ended() is None
    assert ended(Parser(reasons=False)) is None
