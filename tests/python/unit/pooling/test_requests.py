"""Where the requests of pairs belong, and which texts are too long for a pair."""

from __future__ import annotations

from typing import Any

import pytest

from python_worker.exceptions import InvalidArgument, LimitExceeded, Unsupported
from python_worker.pooling.requests import (
    MAX_PAIRED_CHARS,
    Pairs,
    check_template,
    check_texts,
    place,
)


def test_a_request_is_for_a_query_a_document_or_a_pair() -> None:
    places = [place("bi-encoder", number, 2) for number in range(4)]
    assert places == [("queries", 0), ("queries", 1), ("documents", 0), ("documents", 1)]
    assert place("cross-encoder", 3, 1) == ("pairs", 3)


def test_texts_and_contents_are_taken() -> None:
    check_texts(["a", "", {"content": [{"type": "text", "text": "b"}]}], "documents")


@pytest.mark.parametrize("wrong", [7, None, ["a"], b"a"])
def test_anything_else_is_refused_by_its_place(wrong: Any) -> None:
    with pytest.raises(InvalidArgument, match=r"documents\[1\]: wants a text") as refused:
        check_texts(["a", wrong], "documents")
    assert refused.value.details["input"] == 1


def test_a_document_with_an_image_is_refused_by_its_part() -> None:
    image = {"content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}
    with pytest.raises(Unsupported, match=r"documents\[1\]\.content\[0\]: a batch takes texts"):
        check_texts(["a cat", image], "documents")


def test_a_text_that_is_too_long_is_refused() -> None:
    check_texts(["x" * MAX_PAIRED_CHARS], "queries")
    for long in ("x" * (MAX_PAIRED_CHARS + 1), {"content": [{"text": "x" * MAX_PAIRED_CHARS * 2}]}):
        with pytest.raises(LimitExceeded, match=r"queries\[0\]"):
            check_texts([long], "queries")


def test_a_template_is_for_cross_encoders() -> None:
    plain, template = Pairs(["a"], ["b"]), Pairs(["a"], ["b"], "x")
    keywords = Pairs(["a"], ["b"], None, {"instruction": "x"})
    both = Pairs(["a"], ["b"], "x", {"instruction": "x"})
    for processor, good, wrong in (
        ("bi-encoder", [plain], [template, keywords, both]),
        ("late-interaction", [plain], [template, keywords, both]),
        ("cross-encoder", [plain, template, both], [keywords]),
        ("jina-reranking-scoring", [plain, keywords], [template, both]),
    ):
        for pairs in good:
            check_template(processor, pairs)
        for pairs in wrong:
            with pytest.raises(Unsupported, match="it has no effect on this model"):
                check_template(processor, pairs)


def test_pairs_are_of_one_query_or_of_as_many_as_documents() -> None:
    for queries, documents in ((1, 1), (1, 3), (3, 3)):
        Pairs(["a"] * queries, ["b"] * documents).check()
    for queries, documents, said in (
        (0, 1, "queries: wants at least one"),
        (1, 0, "documents: wants at least one"),
        (2, 3, "queries: wants one, or as many as there are documents, 3; got 2"),
        (3, 1, "queries: wants one, or as many"),
    ):
        with pytest.raises(InvalidArgument, match=said):
            Pairs(["a"] * queries, ["b"] * documents).check()
    with pytest.raises(InvalidArgument, match="max_tokens_per_doc: wants 0 or more, got -1"):
        Pairs(["a"], ["b"], max_tokens_per_doc=-1).check()
