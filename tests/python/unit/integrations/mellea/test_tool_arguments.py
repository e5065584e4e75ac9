"""What mellea makes of arguments, as a client calls it. The cases are in ``test_tools``."""

from __future__ import annotations

from typing import Any

import pytest

from python_worker.exceptions import InvalidArgument
from python_worker.integrations.mellea.tool_arguments import Tools


@pytest.mark.parametrize("odd", [{}, {"name": 5}, {"name": "f", "parameters": 5}, {"x": 1}])
async def test_what_is_no_tool_is_refused(odd: Any) -> None:
    with pytest.raises(InvalidArgument, match="tools"):
        await Tools().validate_tool_arguments(odd, {})


@pytest.mark.parametrize(
    ("text", "value"), [('{"a": [1, null, "x"]}', {"a": [1, None, "x"]}), (" 5 ", 5), ('"x"', "x")]
)
async def test_the_value_of_a_text_that_is_json(text: str, value: Any) -> None:
    assert await Tools().parse_json(text) == value


@pytest.mark.parametrize("text", ["", '{"a": "cut o', "x", "[" * 100_000, "1" * 5000])
async def test_a_text_that_is_no_json_is_told_with_what_may_help(text: str) -> None:
    with pytest.raises(InvalidArgument, match="max_new_tokens"):
        await Tools().parse_json(text)
