"""What only the source text of vLLM says."""

from __future__ import annotations

from python_worker.gen.introspection import source


def test_entries_of_a_docstring_are_read_and_taken_out() -> None:
    doc = "First.\n\nArgs:\n    a (int): one\n        more\n    b: two\n\nlate_one: three\n    more"

    assert source.docstring_entries(doc) == {
        "a": "one\nmore",
        "b": "two",
        "late_one": "three\nmore",
    }
    assert source.without_sections(doc) == "First."
