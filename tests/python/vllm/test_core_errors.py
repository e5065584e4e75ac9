"""Each text of EngineCore's that is read still stands in the file that is said to write it.

The files are read, not imported.
"""

from __future__ import annotations

import ast
import mmap
from collections.abc import Iterator
from pathlib import Path

import pytest

from python_worker.core_errors import TEXTS, Text
from python_worker.gen.drift.package import installed


def strings(source: str) -> Iterator[str]:
    """The strings of a source: with adjacent ones joined, and ``{}`` for each value put in."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.JoinedStr):
            yield "".join(
                str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values
            )
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def stands_in(text: str, path: Path) -> bool:
    if path.suffix == ".py":
        return any(text in it for it in strings(path.read_text(encoding="utf-8")))
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return data.find(text.encode()) >= 0


@pytest.mark.parametrize("known", TEXTS, ids=lambda it: it.text)
def test_a_text_stands_in_its_source(known: Text) -> None:
    assert stands_in(known.text, installed().parent / known.source)


def test_a_text_that_is_gone_is_missed() -> None:
    path = installed() / "v1/engine/core.py"
    assert not stands_in("Server is shutting down, as no vLLM says", path)
