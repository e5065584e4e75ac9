"""What a patch says of an item's metrics."""

from __future__ import annotations

from typing import Any

import pytest

from python_worker import exceptions
from python_worker.codec import item_encoder
from tests.python.support.patches import (
    METRICS,
    Consumer,
    completion,
    expected,
    item,
    made,
)
from tests.python.support.plain_items import KINDS, PlainStream


def test_metrics_send_only_what_changed() -> None:
    encoder = item_encoder.ItemEncoder()
    metrics = made(METRICS, num_generation_tokens=1, arrival_time=1.5)
    encoder.encode(item(completion(), metrics=metrics))
    unchanged = encoder.encode(item(completion(), metrics=metrics))
    metrics.num_generation_tokens = 2
    changed = encoder.encode(item(completion(), metrics=metrics))
    assert len(unchanged) < 20
    assert b"num_generation_tokens" in changed
    assert b"arrival_time" not in changed


def test_metrics_that_come_and_go_and_are_of_another_kind() -> None:
    encoder, consumer = item_encoder.ItemEncoder(), Consumer()
    for metrics in (None, made(METRICS), None, {"a": 1}, {"a": 2}, made(METRICS), None, None):
        value = item(completion(), metrics=metrics)
        if isinstance(metrics, dict):
            continue  # a plain dict cannot be told from changed fields; vLLM has none
        assert consumer.apply(encoder.encode(value)) == expected(value)


@KINDS
def test_metrics_say_what_changed(cumulative: bool) -> None:
    metrics = made(METRICS, num_generation_tokens=2, arrival_time=1.5)
    stream = PlainStream([0], cumulative=cumulative, metrics=metrics)
    metrics.num_generation_tokens = 3
    data = stream.check({0: ("a", 7)}, metrics)
    assert b"num_generation_tokens" in data
    assert b"arrival_time" not in data
    assert b"num_generation_tokens" not in stream.check({0: ("a", 7)}, metrics)


def test_metrics_of_another_completion() -> None:
    """The item of a turn has the metrics of the first of its completions, whichever that is."""
    metrics = [made(METRICS, num_generation_tokens=2, last_token_ts=float(n)) for n in range(2)]
    stream = PlainStream([0, 1], cumulative=False, metrics=metrics[0])
    assert b"last_token_ts" in stream.check({1: ("a", 7)}, metrics[1])
    assert b"last_token_ts" in stream.check({0: ("a", 7)}, metrics[0])


@pytest.mark.parametrize("metrics", [None, made(METRICS), 7], ids=["none", "a record", "another"])
def test_metrics_of_another_kind(metrics: Any) -> None:
    for before in (None, made(METRICS, arrival_time=1.5)):
        stream = PlainStream([0], cumulative=False, metrics=before)
        stream.check({0: ("a", 7)}, metrics)
        stream.check({0: ("a", 7)}, metrics)


def test_metrics_that_cannot_be_sent_are_an_error() -> None:
    encoder = PlainStream([0], cumulative=False).direct
    with pytest.raises(exceptions.EncodeError):
        encoder.encode_metrics(object())


@KINDS
def test_a_field_that_becomes_none_is_sent_as_none(cumulative: bool) -> None:
    metrics = made(METRICS, num_generation_tokens=1, last_token_ts=0.5)
    stream = PlainStream([0], cumulative=cumulative, metrics=metrics)
    # The same fields change again and again, so that the names packed in advance are used.
    for count, last in ((2, 1.5), (3, 2.5), (4, None), (None, 3.5), (None, None), (5, 4.5), (0, 0)):
        metrics.num_generation_tokens, metrics.last_token_ts = count, last
        stream.check({0: ("a", 7)}, metrics)


@KINDS
@pytest.mark.parametrize("before", [None, 1.5])
def test_a_field_that_was_none_and_changes_beside_others_is_sent(
    before: float | None, cumulative: bool
) -> None:
    metrics = made(METRICS, num_generation_tokens=1, first_token_ts=before)
    stream = PlainStream([0], cumulative=cumulative, metrics=metrics)
    for count, first in ((2, before), (3, before), (4, 2.5), (5, None), (6, None), (7, 2.5)):
        metrics.num_generation_tokens, metrics.first_token_ts = count, first
        stream.check({0: ("a", 7)}, metrics)


@KINDS
def test_metrics_that_become_none_and_come_back_are_sent(cumulative: bool) -> None:
    stream = PlainStream([0], cumulative=cumulative, metrics=made(METRICS, arrival_time=1.5))
    for metrics in (None, None, made(METRICS, arrival_time=1.5), None, made(METRICS)):
        stream.check({0: ("a", 7)}, metrics)
        stream.check({0: ("a", 7)}, metrics)
