"""The texts or token ids of outputs, without anything else."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest

from python_worker.codec.part_encoder import Part, PartEncoder
from tests.python.support.patches import completion, item

TEXTS = ["", "a", "a" * 31, "a" * 32, "\u00e9" * 16, "a" * 70_000]
IDS = [[], [0], [0x7F], [0x80], [0xFFFF], [0x1_0000], [1, 2, 3], list(range(20))]


def encoder(part: Part, *, cumulative: bool = False) -> PartEncoder:
    return PartEncoder(part, cumulative=cumulative)


def grown(text: str, ids: list[int], *, finished: bool = False) -> Any:
    value = item(completion(0, text, ids))
    value.finished = finished
    return value


@pytest.mark.parametrize("text", TEXTS, ids=len)
def test_a_text_alone(text: str) -> None:
    texts = encoder("text")
    assert msgpack.unpackb(texts.encode(grown(text, [1]))) == text
    assert msgpack.unpackb(texts.encode_token(0, text, [1], None)) == text


@pytest.mark.parametrize("ids", IDS, ids=len)
def test_token_ids_alone(ids: list[int]) -> None:
    tokens = encoder("token_ids")
    assert msgpack.unpackb(tokens.encode(grown("a", ids))) == ids
    assert msgpack.unpackb(tokens.encode_token(0, "a", ids, None)) == ids


def test_a_lone_surrogate_is_replaced() -> None:
    assert msgpack.unpackb(encoder("text").encode(grown("a\ud83d", [1]))) == "a\ufffd"


def test_what_is_new_of_cumulative_outputs() -> None:
    texts, tokens = encoder("text", cumulative=True), encoder("token_ids", cumulative=True)
    for one, ids, new, new_ids in (
        ("ab", [1, 2], "ab", [1, 2]),
        ("ab", [1, 2, 3], "", [3]),
        ("abcd", [1, 2, 3, 4], "cd", [4]),
    ):
        assert msgpack.unpackb(texts.encode(grown(one, ids))) == new
        assert msgpack.unpackb(tokens.encode_token(0, one, ids, None)) == new_ids


def test_every_item_but_the_last_may_be_sent_without_an_output() -> None:
    texts = encoder("text")
    assert not texts.plain
    texts.encode(grown("a", [1]))
    assert texts.plain
    texts.encode(grown("b", [2], finished=True))
    assert not texts.plain


def test_an_item_is_what_its_completion_is() -> None:
    texts = encoder("text")
    assert texts.encode_plain([b"\xa1a"], texts.encode_metrics(object())) == b"\xa1a"
    assert texts.encode_completions(grown("a", [1])) is None
