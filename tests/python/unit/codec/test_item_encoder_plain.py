"""Which items are plain, and what may be sent beside plain completions.

Each is compared with what the rules of a patch make of it, and with the bytes of the same item
when it is encoded as a whole.
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
from tests.python.support.plain_items import KINDS, PlainStream


@KINDS
def test_a_whole_item_may_follow_one_from_parts(cumulative: bool) -> None:
    stream = PlainStream([0, 1], cumulative=cumulative)
    stream.check({0: ("a", 7), 1: ("b", 8)})
    stream.check({1: ("c", 9)})
    value = stream.grown({1: ("d", 10), 0: ("e", 11)}, None)
    value.outputs[0].finish_reason = "stop"
    data = stream.direct.encode(value)
    assert is_patch(data)
    assert not stream.direct.plain
    assert stream.consumer.apply(data) == expected(value)


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


def test_a_dict_of_a_connector_that_changed_in_place_is_sent_again() -> None:
    params = {"a": 1}
    encoder, consumer, value = third(False, kv_transfer_params=params)
    params["a"] = 2
    assert consumer.apply(encoder.encode(value)) == expected(value)
    assert not encoder.plain


def test_the_first_item_is_whole_and_not_plain() -> None:
    encoder = ItemEncoder()
    assert not is_patch(encoder.encode(item(completion(text="a", token_ids=[1]))))
    assert not encoder.plain


def test_an_item_that_is_no_request_output_is_not_plain() -> None:
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
    stream = PlainStream([0, 1, 2, 3], cumulative=cumulative)
    for tokens, count in turns:
        metrics = None if count is None else made(METRICS, num_generation_tokens=count)
        stream.check(tokens, metrics)


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
def test_a_completion_of_any_kind_joins_plain_ones(alter: Any, cumulative: bool) -> None:
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
def test_an_item_with_more_than_new_completions_is_sent_alone(alter: Any, cumulative: bool) -> None:
    completions, encoder = beside(cumulative, alter)
    assert completions is None
    assert encoder.plain


def test_a_completion_that_does_not_continue_is_sent_alone() -> None:
    for name, other in (("text", "bbb"), ("token_ids", [9, 9, 9])):
        completions, _ = beside(
            True, lambda value, name=name, other=other: setattr(value.outputs[0], name, other)
        )
        assert completions is None


def test_before_the_first_item_nothing_can_be_joined() -> None:
    assert ItemEncoder().encode_completions(item(completion(0, "a", [1]))) is None


def test_a_completion_that_cannot_be_sent_is_an_error() -> None:
    with pytest.raises(exceptions.EncodeError, match=r"outputs\[0\]\.cumulative_logprob"):
        beside(False, lambda value: setattr(value.outputs[0], "cumulative_logprob", object()))
