"""vLLM's docstrings as Markdown."""

from __future__ import annotations

from python_worker.gen.elixir import docs


def test_docs_become_markdown() -> None:
    doc = "Use ``x`` of [`Y`][vllm.y].\n\nNOTE:\n    all %%\n- one\n- two\n  more"

    assert docs.markdown(doc) == "Use `x` of `Y`.\n\nNOTE: all %\n\n- one\n- two more"


def test_a_list_is_not_part_of_the_summary() -> None:
    assert docs.summary("Sizes.\n- one\n- two") == ("Sizes.", "- one\n- two")
