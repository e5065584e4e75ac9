"""What the client has received of an output, compared with the next item."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from python_worker.codec import records
from python_worker.codec.output_shapes import OutputShape, shape_of
from python_worker.codec.sent_output import SentCompletion, SentFields, differences
from tests.python.support.patches import completion, item

SHAPE = shape_of(item(completion()), records.fields_of("RequestOutput"))


def sent_fields(value: Any) -> SentFields:
    sent = SentFields()
    sent.remember(SHAPE, SHAPE.read(value))
    return sent


def changes(sent: SentFields, value: Any, shape: OutputShape = SHAPE) -> dict[str, object]:
    return sent.changes(shape, shape.read(value))


def test_the_same_values_are_no_change() -> None:
    value = item(completion(), num_cached_tokens=3)
    sent = sent_fields(value)
    assert sent.are(SHAPE.read(value))
    assert changes(sent, value) == {}


def test_a_change_is_reported_once() -> None:
    sent = sent_fields(item(num_cached_tokens=3))
    value = item(num_cached_tokens=4)
    assert not sent.are(SHAPE.read(value))
    assert changes(sent, value) == {"num_cached_tokens": 4}
    assert changes(sent, value) == {}


def test_a_list_that_grew_in_place_is_a_change() -> None:
    prompt = [1, 2]
    value = item(prompt_token_ids=prompt)
    sent = sent_fields(value)
    prompt.append(3)
    assert not sent.are(SHAPE.read(value))
    assert changes(sent, value) == {"prompt_token_ids": [1, 2, 3]}


def test_another_list_with_the_same_numbers_is_no_change() -> None:
    sent = sent_fields(item(prompt_token_ids=[1, 2]))
    assert changes(sent, item(prompt_token_ids=[1, 2])) == {}


def test_a_dict_of_a_connector_is_sent_with_every_item() -> None:
    value = item(kv_transfer_params={"a": 1})
    sent = sent_fields(value)
    assert not sent.are(SHAPE.read(value))
    assert changes(sent, value) == {"kv_transfer_params": {"a": 1}}


def test_arrays_are_never_equal() -> None:
    sent = sent_fields(item(prompt_token_id_logprobs=np.ones(2)))
    value = item(prompt_token_id_logprobs=np.ones(2))
    assert not sent.are(SHAPE.read(value))
    assert list(changes(sent, value)) == ["prompt_token_id_logprobs"]


def test_differences_compare_scalars_by_value_and_type_and_all_else_by_identity() -> None:
    same, fields = [1], ("a", "b", "c", "d")
    found = differences(fields, (1, True, same, [1]), (1, 1, same, [1]))
    assert found == {"b": True, "d": [1]}


@pytest.mark.parametrize(
    ("others", "extended"),
    [
        ({"text": "abc", "token_ids": [1, 2, 3]}, True),
        ({"text": "ab", "token_ids": [1, 2]}, True),
        ({"text": "xb", "token_ids": [1, 2]}, False),
        ({"text": "ab", "token_ids": [1]}, False),
        ({"text": "ab", "token_ids": [9, 2, 3]}, False),
        ({"text": "ab", "token_ids": (1, 2, 3)}, False),
        ({"text": "ab", "token_ids": [1, 2], "logprobs": [{}]}, True),
    ],
    ids=str,
)
def test_a_completion_extends_what_has_been_sent(others: dict[str, Any], extended: bool) -> None:
    sent = SentCompletion()
    sent.remember(SHAPE.read_completion(completion(0, "ab", [1, 2])))
    assert sent.is_extended_by(completion(0, **others)) == extended


def test_logprobs_extend_only_in_the_same_list() -> None:
    logprobs = [{7: None}]
    sent = SentCompletion()
    sent.remember(SHAPE.read_completion(completion(0, "a", [1], logprobs=logprobs)))
    logprobs.append({8: None})
    assert sent.is_extended_by(completion(0, "ab", [1, 2], logprobs=logprobs))
    assert not sent.is_extended_by(completion(0, "ab", [1, 2], logprobs=[{7: None}, {8: None}]))
