"""What scripted answers of chats are made of: tokens that know what they mean.

A real model marks its reasoning and its calls of tools by special tokens, which parsers look for.
Here a token is a ``Piece``: what a parser would take it for, and its text with and without the
marks. So ``generate`` shows the whole text, and a chat without parsers does too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

KEYS: Final = frozenset({"reasoning", "tool_calls", "json"})
"""What a behaviour may have of it beside ``say``, in plain data."""


class Piece(NamedTuple):
    """A token of an answer.

    Attributes:
        kind: What it belongs to; ``call`` begins a call of a tool, ``arguments`` continues it.
        text: What a parser makes of it: for a ``call`` the name of the tool.
        raw: What the model writes.
    """

    kind: Literal["reasoning", "content", "call", "arguments"]
    text: str
    raw: str


def said(values: Mapping[str, Any]) -> tuple[str | Piece, ...] | None:
    """The tokens that a behaviour says, in order: reasoning, content, calls of tools.

    Args:
        values: A behaviour as plain data: ``say`` and what is in ``KEYS``.

    Returns:
        None where it says nothing of its own.
    """
    say = values.get("say")
    if say is None and not values.keys() & KEYS:
        return None
    content = words(to_json(values["json"])) if "json" in values else say or ()
    calls = [
        piece for name, given in values.get("tool_calls") or () for piece in _call(name, given)
    ]
    return (*_reasoning(values.get("reasoning") or ()), *content, *calls)


def words(text: str) -> list[str]:
    """A text in words, each with the blanks before it, as tokenizers do."""
    return re.findall(r"\s*\S+|\s+$", text)


def to_json(value: Any) -> str:
    """A value as a model would write it."""
    return json.dumps(value, ensure_ascii=False)


def _reasoning(texts: Sequence[str]) -> Iterable[Piece]:
    raws = list(texts)
    if raws:
        raws[0] = "<think>" + raws[0]
        raws[-1] += "</think>"
    return [Piece("reasoning", text, raw) for text, raw in zip(texts, raws, strict=True)]


def _call(name: str, arguments: Any) -> Iterable[Piece]:
    """The tokens of a call; arguments that are a text are what the model writes, JSON or not."""
    texts = words(arguments if isinstance(arguments, str) else to_json(arguments))
    yield Piece("call", name, f'<tool_call>{{"name": {to_json(name)}, "arguments": ')
    for number, text in enumerate(texts, start=1):
        end = "}</tool_call>" if number == len(texts) else ""
        yield Piece("arguments", text, text + end)
