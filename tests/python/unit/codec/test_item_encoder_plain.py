"""Plain items: a token more of each completion, whose bytes are put down without values.

Each is compared with what the rules of a patch make of it, and with the bytes of the same item
when it is made and encoded.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from python_worker import codec, exceptions
from python_worker.codec.item_encoder import ItemEncoder
from tests.python.support.patches import (
    METRICS,
    Consumer,
    completion,
    expected,
    is_patch,
    item,
    made,
)

KINDS = pytest.mark.parametrize("cumulative", [False, True], ids=["delta", "cumulative"])

#: At the edges of a string of one length byte, and what UTF-8 has no bytes for.
TEXTS = [
    "",
    "a",
    "a" * 31,
    "a" * 32,
    "\u00e9" * 15 + "a",
    "\u00e9" * 16,
    "\U0001f642" * 7,
    "\U0001f642" * 8,
    "a" * 300,
    "\x00",
    "\ud83d",
    "a\udc00b",
]
TOKEN_IDS = [0, 0x7F, 0x80, 0xFF, 0x100, 0xFFFF, 0x1_0000, 0xFFFF_FFFF, 0x1_0000_0000]
INDEXES = [0, 1, 0x7F, 0x80, 0xFF, 0x100]


class Pair:
    """Two encoders of one stream: the one sees every item, the other only those it must.

    The stream has begun: each completion has had a token by which it is known, and another.
    """

    def __init__(self, indexes: list[int], *, cumulative: bool, metrics: Any = None) -> None:
        self.cumulative = cumulative
        self.so_far: dict[int, tuple[str, list[int]]] = {index: ("", []) for index in indexes}
        self.consumer = Consumer()
        self.seeing = ItemEncoder(cumulative=cumulative)
        self.unseeing = ItemEncoder(cumulative=cumulative)
        for _ in range(2):
            value = self.grown(dict.fromkeys(indexes, ("", 1)), metrics)
            assert self.consumer.apply(self.unseeing.encode(value)) == expected(value)
            self.seeing.encode(value)
        assert self.unseeing.plain

    def grown(self, tokens: dict[int, tuple[str, int]], metrics: Any) -> Any:
        completions = []
        for index, (text, token_id) in tokens.items():
            before = self.so_far[index] if self.cumulative else ("", [])
            self.so_far[index] = (before[0] + text, [*before[1], token_id])
            completions.append(completion(index, *self.so_far[index]))
        return item(*completions, metrics=metrics)

    def check(self, tokens: dict[int, tuple[str, int]], metrics: Any = None) -> bytes:
        """One more token of some completions; returns the bytes, which both encoders give."""
        value = self.grown(tokens, metrics)
        parts = [
            self.unseeing.encode_completion(output.index, output.text, output.token_ids)
            for output in value.outputs
        ]
        data = self.unseeing.encode_plain(parts, self.unseeing.encode_metrics(metrics))
        assert self.consumer.apply(data) == expected(value)
        assert self.seeing.encode(value) == data
        assert self.seeing.plain
        return data


@KINDS
@pytest.mark.parametrize("text", TEXTS, ids=ascii)
def test_text(text: str, cumulative: bool) -> None:
    pair = Pair([0], cumulative=cumulative)
    for _ in range(2):
        pair.check({0: (text, 7)})


@KINDS
@pytest.mark.parametrize("token_id", TOKEN_IDS, ids=hex)
def test_token_id(token_id: int, cumulative: bool) -> None:
    pair = Pair([0], cumulative=cumulative)
    for _ in range(2):
        pair.check({0: ("a", token_id)})


@KINDS
@pytest.mark.parametrize("index", INDEXES, ids=hex)
def test_index(index: int, cumulative: bool) -> None:
    pair = Pair([index], cumulative=cumulative)
    for _ in range(2):
        pair.check({index: ("a", 7)})


@KINDS
@pytest.mark.parametrize("count", [1, 15, 16, 17])
def test_number_of_completions(count: int, cumulative: bool) -> None:
    pair = Pair(list(range(count)), cumulative=cumulative)
    pair.check({index: ("a", index) for index in range(count)})
    pair.check({index: ("b", index) for index in reversed(range(count))})
    pair.check({count - 1: ("c", 7)})


@pytest.mark.parametrize("limit", [0x100, 0x1_0000], ids=hex)
def test_lengths_at_the_edge_of_an_extension(limit: int) -> None:
    """The header of an extension has one, two or four bytes of length."""
    headers = set()
    for size in range(limit - 32, limit + 1):
        data = Pair([0], cumulative=False).check({0: ("x" * size, 7)})
        headers.add(data[0])
    assert headers == ({0xC7, 0xC8} if limit == 0x100 else {0xC8, 0xC9})


@KINDS
def test_a_made_item_may_follow(cumulative: bool) -> None:
    pair = Pair([0, 1], cumulative=cumulative)
    pair.check({0: ("a", 7), 1: ("b", 8)})
    pair.check({1: ("c", 9)})
    value = pair.grown({1: ("d", 10), 0: ("e", 11)}, None)
    value.outputs[0].finish_reason = "stop"
    data = pair.unseeing.encode(value)
    assert is_patch(data)
    assert not pair.unseeing.plain
    assert pair.consumer.apply(data) == expected(value)


@KINDS
def test_metrics_say_what_changed(cumulative: bool) -> None:
    metrics = made(METRICS, num_generation_tokens=2, arrival_time=1.5)
    pair = Pair([0], cumulative=cumulative, metrics=metrics)
    metrics.num_generation_tokens = 3
    data = pair.check({0: ("a", 7)}, metrics)
    assert b"num_generation_tokens" in data
    assert b"arrival_time" not in data
    assert b"num_generation_tokens" not in pair.check({0: ("a", 7)}, metrics)


def test_metrics_of_another_completion() -> None:
    """The item of a turn has the metrics of the first of its completions, whichever that is."""
    metrics = [made(METRICS, num_generation_tokens=2, last_token_ts=float(n)) for n in range(2)]
    pair = Pair([0, 1], cumulative=False, metrics=metrics[0])
    assert b"last_token_ts" in pair.check({1: ("a", 7)}, metrics[1])
    assert b"last_token_ts" in pair.check({0: ("a", 7)}, metrics[0])


@pytest.mark.parametrize("metrics", [None, made(METRICS), 7], ids=["none", "a record", "another"])
def test_metrics_of_another_kind(metrics: Any) -> None:
    for before in (None, made(METRICS, arrival_time=1.5)):
        pair = Pair([0], cumulative=False, metrics=before)
        pair.check({0: ("a", 7)}, metrics)
        pair.check({0: ("a", 7)}, metrics)


def test_metrics_that_cannot_be_sent_are_refused() -> None:
    encoder = Pair([0], cumulative=False).unseeing
    with pytest.raises(exceptions.EncodeError):
        encoder.encode_metrics(object())


# --- What is plain -----------------------------------------------------------


def third(cumulative: bool, **others: Any) -> tuple[ItemEncoder, Consumer, Any]:
    """An encoder that has sent two items, and a plain one to be altered."""
    encoder, consumer = ItemEncoder(cumulative=cumulative), Consumer()
    for count in (1, 2):
        value = item(*[grown(index, count, cumulative) for index in (0, 1)], **others)
        consumer.apply(encoder.encode(value))
    return encoder, consumer, item(*[grown(index, 3, cumulative) for index in (0, 1)], **others)


def grown(index: int, count: int, cumulative: bool) -> Any:
    ids = list(range(count)) if cumulative else [count - 1]
    return completion(index, "a" * len(ids), ids)


ORDINARY: dict[str, Any] = {
    "finished": lambda value: setattr(value, "finished", True),
    "a completion ends": lambda value: setattr(value.outputs[1], "finish_reason", "length"),
    "stop reason": lambda value: setattr(value.outputs[0], "stop_reason", 2),
    "no outputs": lambda value: value.outputs.clear(),
    "tokens in a tuple": lambda value: setattr(
        value.outputs[0], "token_ids", tuple(value.outputs[0].token_ids)
    ),
    "logprobs": lambda value: setattr(value.outputs[0], "logprobs", [{7: None}]),
    "another field of a completion": lambda value: setattr(
        value.outputs[1], "cumulative_logprob", -1.0
    ),
    "an index that is new": lambda value: setattr(value.outputs[0], "index", 2),
    "an index twice": lambda value: setattr(value.outputs[0], "index", 1),
    "cached tokens": lambda value: setattr(value, "num_cached_tokens", 16),
    "another prompt": lambda value: setattr(value, "prompt", "q"),
    "a dict of a connector": lambda value: setattr(value, "kv_transfer_params", {"a": 1}),
    "an array": lambda value: setattr(value, "prompt_token_id_logprobs", np.ones((2, 2))),
}


@KINDS
@pytest.mark.parametrize("alter", ORDINARY.values(), ids=ORDINARY)
def test_what_is_not_plain(alter: Any, cumulative: bool) -> None:
    encoder, consumer, value = third(cumulative)
    alter(value)
    data = encoder.encode(value)
    assert not encoder.plain
    assert consumer.apply(data) == expected(value)


PLAIN: dict[str, Any] = {
    "as it is": lambda value: None,
    "two tokens": lambda value: value.outputs[0].token_ids.append(7),
    "no token": lambda value: value.outputs[1].token_ids.pop(),
    "a token that is no int": lambda value: value.outputs[0].token_ids.__setitem__(-1, np.int64(7)),
}


@KINDS
@pytest.mark.parametrize("alter", PLAIN.values(), ids=PLAIN)
def test_what_is_plain(alter: Any, cumulative: bool) -> None:
    encoder, consumer, value = third(cumulative)
    alter(value)
    data = encoder.encode(value)
    assert encoder.plain
    assert consumer.apply(data) == expected(value)


def test_a_text_that_does_not_continue_is_not_plain() -> None:
    for name, other in (("text", "bbb"), ("token_ids", [9, 9, 9])):
        encoder, consumer, value = third(cumulative=True)
        setattr(value.outputs[0], name, other)
        data = encoder.encode(value)
        assert not encoder.plain
        assert consumer.apply(data) == expected(value)


def test_a_list_that_has_grown_in_place_is_not_plain() -> None:
    prompt = [1, 2]
    encoder, consumer, value = third(False, prompt_token_ids=prompt)
    prompt.append(3)
    data = encoder.encode(value)
    assert not encoder.plain
    assert consumer.apply(data) == expected(value)


def test_arrays_that_are_not_the_same_object_are_not_compared() -> None:
    encoder, consumer, value = third(False, prompt_token_id_logprobs=np.ones((2, 2)))
    value.prompt_token_id_logprobs = np.ones((2, 2))
    assert consumer.apply(encoder.encode(value)) == expected(value)
    assert not encoder.plain


def test_dicts_of_a_connector_may_be_altered_unseen() -> None:
    params = {"a": 1}
    encoder, consumer, value = third(False, kv_transfer_params=params)
    params["a"] = 2
    assert consumer.apply(encoder.encode(value)) == expected(value)
    assert not encoder.plain


def test_the_first_item_is_whole_and_not_plain() -> None:
    encoder = ItemEncoder()
    assert not is_patch(encoder.encode(item(completion(text="a", token_ids=[1]))))
    assert not encoder.plain


def test_what_is_no_request_output_is_not_plain() -> None:
    encoder = ItemEncoder()
    for _ in range(3):
        assert encoder.encode([1, 2]) == codec.encode([1, 2])
        assert not encoder.plain


TOKENS = st.tuples(
    st.text(st.characters(codec=None), max_size=40), st.integers(0, 2**40) | st.integers(0, 300)
)


@settings(max_examples=200)
@given(
    st.lists(
        st.tuples(
            st.dictionaries(st.integers(0, 3), TOKENS, min_size=1), st.sampled_from([None, 1, 2])
        ),
        max_size=8,
    ),
    st.booleans(),
)
def test_any_tokens(turns: list[tuple[dict[int, tuple[str, int]], Any]], cumulative: bool) -> None:
    pair = Pair([0, 1, 2, 3], cumulative=cumulative)
    for tokens, count in turns:
        metrics = None if count is None else made(METRICS, num_generation_tokens=count)
        pair.check(tokens, metrics)


# --- Beside plain completions ----------------------------------------------------


def beside(cumulative: bool, alter: Any, **others: Any) -> tuple[Any, ItemEncoder]:
    """Puts a completion beside a plain one; returns None where its item has to go apart.

    Otherwise the item that the two make is checked. ``alter`` gets the item of the one.
    """
    encoder, consumer, whole = third(cumulative, **others)
    one = item(whole.outputs[1], **others)
    alter(one)
    first = whole.outputs[0]
    plain = encoder.encode_completion(first.index, first.text, first.token_ids)
    completions = encoder.encode_completions(one)
    if completions is not None:
        assert list(completions) == [output.index for output in one.outputs]
        whole.outputs[1:] = one.outputs
        data = encoder.encode_plain([plain, *completions.values()], encoder.encode_metrics(None))
        assert consumer.apply(data) == expected(whole)
        # And the next, which is made, says what is as it was before.
        after = item(*[grown(index, 4, cumulative) for index in (0, 1)], **others)
        assert not encoder.plain
        assert consumer.apply(encoder.encode(after)) == expected(after)
    return completions, encoder


JOINED = {name: ORDINARY[name] for name in ("logprobs", "stop reason", "an index that is new")} | {
    "it ends": lambda value: setattr(value.outputs[0], "finish_reason", "length"),
    "another field of it": lambda value: setattr(value.outputs[0], "cumulative_logprob", -1.0),
    "as it is": lambda value: None,
}


@KINDS
@pytest.mark.parametrize("alter", JOINED.values(), ids=JOINED)
def test_a_completion_of_any_kind_goes_beside_plain_ones(alter: Any, cumulative: bool) -> None:
    assert beside(cumulative, alter)[0] is not None


APART = {
    name: ORDINARY[name]
    for name in ("finished", "cached tokens", "another prompt", "a dict of a connector", "an array")
} | {
    "another request": lambda value: setattr(value, "request_id", "s"),
    "an index twice": lambda value: value.outputs.append(value.outputs[0]),
}


@KINDS
@pytest.mark.parametrize("alter", APART.values(), ids=APART)
def test_an_item_with_more_than_completions_goes_apart(alter: Any, cumulative: bool) -> None:
    completions, encoder = beside(cumulative, alter)
    assert completions is None
    assert encoder.plain


def test_a_completion_that_does_not_continue_goes_apart() -> None:
    for name, other in (("text", "bbb"), ("token_ids", [9, 9, 9])):
        completions, _ = beside(
            True, lambda value, name=name, other=other: setattr(value.outputs[0], name, other)
        )
        assert completions is None


def test_before_the_first_item_nothing_goes_beside() -> None:
    assert ItemEncoder().encode_completions(item(completion(0, "a", [1]))) is None


def test_a_completion_that_cannot_be_sent_is_refused() -> None:
    with pytest.raises(exceptions.EncodeError, match=r"outputs\[0\]\.cumulative_logprob"):
        beside(False, lambda value: setattr(value.outputs[0], "cumulative_logprob", object()))
