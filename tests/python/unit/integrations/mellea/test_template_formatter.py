"""Mellea's formatter, which parses a template once."""

from __future__ import annotations

from typing import Any

import jinja2
import pytest

from tests.python.support.mellea import CHAT, Engine, backend_of


async def test_a_long_chat_parses_each_template_once(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[str] = []
    parse = jinja2.Environment.parse

    def counted(self: Any, source: Any, *args: Any) -> Any:
        parsed.append(source)
        return parse(self, source, *args)

    backend = await backend_of(Engine())
    turn = {"type": "instruction", "description": "Do it."}
    context = {**CHAT, "turns": [turn] * 3}
    monkeypatch.setattr(jinja2.Environment, "parse", counted)
    prompt = await backend.render_prompt("x", context)
    assert prompt.count("Do it.") == 3
    assert parsed
    assert len(parsed) == len(set(parsed))


async def test_arguments_that_a_template_does_not_use_are_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    backend = await backend_of(Engine())
    own = {"type": "component", "name": "X", "template": "{{ a }}", "args": {"a": "1", "b": "2"}}
    with caplog.at_level("WARNING", "mellea"):
        assert "1" in await backend.render_prompt(own, CHAT)
    assert "['b']" in caplog.text
