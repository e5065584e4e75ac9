"""vLLM's docstrings as Markdown that reads well in IEx and in ExDoc."""

from __future__ import annotations

import re
import textwrap

_WIDTH = 92

_BULLET = re.compile(r"^(?:[-*]|\d+[.)]) ")

_REPLACEMENTS = (
    (re.compile(r"``([^`]+)``"), r"`\1`"),  # reStructuredText's code
    (re.compile(r"\[(`[^`]+`)\]\[[\w.]+\]"), r"\1"),  # mkdocs' references
    (re.compile(r"\[([\w.]+)\]\[\]"), r"`\1`"),
    (re.compile(r":\w+:`([^`]+)`"), r"`\1`"),  # Sphinx's roles
    (re.compile(r"%%"), "%"),  # argparse's escape: these texts are its help as well
)


def markdown(doc: str, *, indent: str = "") -> str:
    """Converts a docstring.

    Args:
        doc: The docstring, already dedented.
        indent: What the text stands under, such as the two spaces of a list item.

    Returns:
        Paragraphs, lists and code, wrapped. Deeper indentation, with which vLLM sets
        off notes, is taken away: Markdown would show those as code.
    """
    for pattern, replacement in _REPLACEMENTS:
        doc = pattern.sub(replacement, doc)
    text = before = ""
    for lines in _parts(doc):
        # The items of a list stay together.
        tight = _BULLET.match(lines[0]) and _BULLET.match(before)
        gap = ("\n" if tight else "\n\n") if text else ""
        text += gap + _part(lines, indent)
        before = lines[0]
    return text


def summary(doc: str) -> tuple[str, str]:
    """Parts a docstring into its first paragraph and the rest, where a list is not a paragraph."""
    first: list[str] = []
    lines = doc.strip().splitlines()
    for line in lines:
        if not line.strip() or _BULLET.match(line.strip()):
            break
        first.append(line)
    return "\n".join(first), "\n".join(lines[len(first) :]).strip("\n")


def _parts(doc: str) -> list[list[str]]:
    """Cuts a text at blank lines, and before each item of a list."""
    parts: list[list[str]] = [[]]
    for line in doc.splitlines():
        stripped = line.strip()
        if not stripped or (_BULLET.match(stripped) and parts[-1]):
            parts.append([])
        if stripped:
            parts[-1].append(stripped)
    return [lines for lines in parts if lines]


def _part(lines: list[str], indent: str) -> str:
    if lines[0].startswith((">>>", "```")):
        return "\n".join(f"{indent}    {line}" for line in lines)
    bullet = _BULLET.match(lines[0])
    mark = bullet[0] if bullet else ""
    return textwrap.fill(
        " ".join(lines),
        width=_WIDTH,
        initial_indent=indent,
        subsequent_indent=indent + " " * len(mark),
        break_long_words=False,
        break_on_hyphens=False,
    )
