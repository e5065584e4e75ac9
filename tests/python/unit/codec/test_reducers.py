"""Which value each Python type is reduced to."""

from __future__ import annotations

import collections
import datetime as dt
import enum
import math
from typing import Any

import msgpack
import numpy as np
import pytest

from python_worker import codec, exceptions
from python_worker.codec import types
from tests.python.support.codec_values import round_trip, same
from tests.python.support.patches import (
    plain,
)
from tests.vectors import make


def test_numpy_scalars_become_plain_numbers() -> None:
    assert same(round_trip(np.float32(1.5)), 1.5)
    assert same(round_trip(np.float64(1.5)), 1.5)
    assert same(round_trip(np.int8(-3)), -3)
    assert same(round_trip(np.uint64(2**64 - 1)), 2**64 - 1)
    assert same(round_trip(np.bool_(True)), True)
    assert same(round_trip(np.str_("text")), "text")
    with pytest.raises(exceptions.EncodeError, match="float64"):
        codec.encode(np.longdouble(1))


def test_subclasses_are_sent_as_their_base_type() -> None:
    class Text(str):
        pass

    class Number(int):
        pass

    Point = collections.namedtuple("Point", "x y")
    assert same(round_trip(Text("a")), "a")
    assert same(round_trip(Number(7)), 7)
    assert same(round_trip(Number(2**70)), 2**70)
    assert same(round_trip(Point(1, 2)), (1, 2))
    assert same(round_trip(collections.OrderedDict(a=1)), {"a": 1})
    assert same(round_trip(collections.defaultdict(list, a=[1])), {"a": [1]})


@pytest.mark.parametrize(
    "value",
    [
        dt.datetime(2024, 2, 29, 12, 0, 0, 1),
        dt.datetime.min,
        dt.datetime.max,
        dt.datetime(2024, 2, 29, tzinfo=dt.UTC),
        dt.datetime(2024, 2, 29, 1, 2, 3, 4, tzinfo=dt.timezone(dt.timedelta(hours=-3.5))),
        dt.date.min,
        dt.date.max,
        dt.time(23, 59, 59, 999_999),
        dt.time(),
    ],
)  # fmt: skip
def test_times(value: object) -> None:
    assert same(round_trip(value), value)


def test_an_offset_with_seconds_becomes_utc() -> None:
    odd = dt.timezone(dt.timedelta(minutes=19, seconds=32))
    value = dt.datetime(1930, 1, 1, 12, tzinfo=odd)
    assert round_trip(value) == value
    assert b"+00:00" in codec.encode(value)


def test_a_time_of_day_with_a_zone_cannot_be_sent() -> None:
    with pytest.raises(exceptions.EncodeError, match=r"value\[0\]: a time of day"):
        codec.encode([dt.time(1, tzinfo=dt.UTC)])


def test_arrays_of_anything_but_numbers_are_sent_as_lists() -> None:
    assert round_trip(np.array([["a", "b"]])) == [["a", "b"]]
    assert round_trip(np.array([None, (1,)], dtype=object)) == [None, (1,)]


def test_enums_of_every_kind_are_sent_by_name() -> None:
    class Colour(enum.Enum):
        RED = 1

    class Number(enum.IntEnum):
        ONE = 1

    class Text(enum.StrEnum):
        ONE = "one"

    for member in (Colour.RED, Number.ONE, Text.ONE):
        content = [type(member).__name__, member.name]
        expected = msgpack.packb(msgpack.ExtType(9, msgpack.packb(content)))
        assert codec.encode(member) == expected


def test_a_logprob_has_an_extension_type_of_its_own() -> None:
    logprob = make.stub("Logprob", logprob=-math.inf, rank=None, decoded_token="a")
    fields: dict[str, object] = {"logprob": -math.inf, "rank": None, "decoded_token": "a"}
    assert round_trip(logprob) == types.Record("Logprob", fields)


def test_flat_logprobs_are_sent_as_lists_of_dicts() -> None:
    flat_class = type("FlatLogprobs", (), {"__module__": "vllm.logprobs"})
    flat: Any = flat_class()
    flat.start_indices, flat.end_indices = [0, 2], [2, 3]
    flat.token_ids, flat.logprobs = [7, 8, 9], [-1.0, -2.0, -3.0]
    flat.ranks, flat.decoded_tokens = [1, 2, 1], ["a", "b", None]
    back = plain(codec.decode(codec.encode(flat)))
    assert [list(position) for position in back] == [[7, 8], [9]]
    assert back[0][8]["logprob"] == -2.0
    assert back[1][9]["decoded_token"] is None
