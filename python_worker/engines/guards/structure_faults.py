"""Finds what in a JSON schema a back end refuses: the keywords, and where they are.

The back ends say little: xgrammar "contains features not supported", guidance a keyword without its
place. So the schema is made smaller, as long as it is refused with the same words. What remains is
the fault. Nothing of a back end's own rules is repeated here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

Refusal = Callable[[Any], str | None]
"""Why a back end refuses a schema; None if it does not."""

REFERENCES = ("$defs", "definitions")
"""Parts of a schema that others refer to."""

LEADING = frozenset({"type", "$ref", "triggers", "begin", "end", *REFERENCES})
"""Keywords that say little of themselves; some are those of structural tags."""

MAPS = frozenset({"properties", "patternProperties", "dependentSchemas", *REFERENCES})
"""Keywords whose value has a schema for each name."""

MAX_CHARS = 200_000
"""To be checked for one refusal, which takes 0.2 s at most. Whatever the schema has become by then
is described."""

MAX_SHOWN_CHARS = 200

NUMBER = re.compile(r"\d+")


@dataclass(frozen=True)
class Fault:
    """What is refused in a schema.

    Attributes:
        pointer: Where it is, as a JSON pointer; empty for the whole schema.
        keywords: The keywords there without which it would not be refused.
        part: The part of the schema that has them, as JSON.
    """

    pointer: str
    keywords: Sequence[str]
    part: str

    def __str__(self) -> str:
        return f"{', '.join(self.keywords)} at {self.pointer or 'the root'}, in {self.part}"


def find_fault(schema: Any, refuse: Refusal, *, max_chars: int = MAX_CHARS) -> Fault | None:
    """What a back end refuses in a schema.

    Args:
        schema: As decoded JSON; it is not changed.
        refuse: The back end.
        max_chars: How much may be checked for it.

    Returns:
        None where the back end does not refuse it, or where no keyword is at fault.
    """
    words = refuse(schema)
    if words is None or not isinstance(schema, dict):
        return None
    wanted = _without_numbers(words)
    text = json.dumps(schema)
    whole = json.loads(text)
    tries = iter(range(max_chars // len(text)))

    def is_refused() -> bool:
        return next(tries, None) is not None and _without_numbers(refuse(whole)) == wanted

    _reduce(whole, is_refused)
    pointer, part = _place(whole, "")
    if not part:
        return None
    keywords = [name for name in part if name != "type"] or list(part)
    shown = json.dumps(part, ensure_ascii=False)
    if len(shown) > MAX_SHOWN_CHARS:
        shown = shown[:MAX_SHOWN_CHARS] + "…"
    return Fault(pointer, keywords, shown)


def _without_numbers(words: str | None) -> str | None:
    """A refusal without positions, which change with the schema."""
    return None if words is None else NUMBER.sub("0", words)


def _reduce(node: Any, is_refused: Callable[[], bool]) -> None:
    """Delete from a part of a schema what the refusal does not need; outer parts first."""
    if isinstance(node, dict):
        for name in list(node):
            value = node.pop(name)
            if not is_refused():
                node[name] = value
        for value in list(node.values()):
            _reduce(value, is_refused)
    elif isinstance(node, list):
        # In place, and not deleted, so that what is left keeps its index in the pointer.
        for index, value in enumerate(node):
            if isinstance(value, dict) and value:
                node[index] = {}
                if not is_refused():
                    node[index] = value
                    _reduce(value, is_refused)


def _place(node: dict[str, Any], pointer: str) -> tuple[str, dict[str, Any]]:
    """The innermost part that has all that is left, but what only leads to it."""
    names = [name for name in node if name not in LEADING]
    if not names or set(names) <= set(REFERENCES):
        names = [name for name in node if name in REFERENCES]
    steps = _steps(node, names[0]) if len(names) == 1 else []
    if not steps:
        return pointer, node
    inner: Any = node
    for step in steps:
        inner = inner[step]
        pointer += "/" + str(step).replace("~", "~0").replace("/", "~1")
    return _place(inner, pointer)


def _steps(node: dict[str, Any], name: str) -> list[str | int]:
    """How to get from a keyword to the one schema in it; nothing where there is none, or more."""
    value = node[name]
    steps: list[str | int] = [name]
    if (name in MAPS and isinstance(value, dict)) or isinstance(value, list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        full = [(key, item) for key, item in items if item != {}]
        if len(full) != 1:
            return []
        key, value = full[0]
        steps.append(key)
    return steps if isinstance(value, dict) and value else []
