"""Elixir text: escapes, and what a generator may import."""

from __future__ import annotations

import ast
from pathlib import Path

from python_worker.gen.elixir import text


def test_text_cannot_leave_its_heredoc() -> None:
    made = text.heredoc("doc", 'a """ b #{c} \\d')

    assert made == '  @doc """\n  a \\""" b \\#{c} \\\\d\n  """\n'


def test_generators_import_no_vllm() -> None:
    for file in Path(text.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [alias.name for alias in node.names]
                module = getattr(node, "module", None) or ""
                assert not any(n.split(".")[0] == "vllm" for n in [*names, module]), file


def test_a_string_literal_escapes_what_elixir_would_read() -> None:
    assert text.string('a "b" \\ #{c}\n\t') == r'"a \"b\" \\ \#{c}\n\t"'
