"""Keywords of a reasoning parser are tried before EngineCore uses them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from python_worker.engines.guards.reasoning import check_reasoning, parser_class
from python_worker.exceptions import InvalidArgument


class Parser:
    def __init__(self, tokenizer: object, *, chat_template_kwargs: dict[str, Any]) -> None:
        self.thinking = chat_template_kwargs.get("thinking")


@pytest.mark.parametrize("keywords", [{"x": 1}, {"tokenizer": 1}, {"chat_template_kwargs": 7}])
def test_keywords_that_a_reasoning_parser_does_not_take(keywords: dict[str, Any]) -> None:
    request = SimpleNamespace(reasoning_parser_kwargs=keywords)
    with pytest.raises(InvalidArgument, match="Parser does not take them"):
        check_reasoning(request, Parser, None)
    check_reasoning(request, None, None)  # an engine without one looks at none of them


def test_keywords_that_a_reasoning_parser_takes() -> None:
    for keywords in (None, {}, {"chat_template_kwargs": {"thinking": True}}):
        check_reasoning(SimpleNamespace(reasoning_parser_kwargs=keywords), Parser, None)


def test_a_reasoning_parser_that_cannot_be_found_is_none() -> None:
    def find(name: str) -> Any:
        return {"mine": Parser}[name]

    assert parser_class("mine", find) is Parser
    assert parser_class("a plugin's", find) is None
    assert parser_class("", find) is None
