"""Which value each Python type is reduced to."""

from __future__ import annotations

import array
import collections
import collections.abc
import dataclasses
import datetime as dt
import enum
import math
import pathlib
import types as types_
from collections.abc import Iterator
from typing import Any

import msgpack
import numpy as np
import pydantic
import pytest
import torch
import transformers

from python_worker import codec, exceptions
from python_worker.codec import reducers, types
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


# --- What the classes of other libraries become ---


class Frozen(collections.abc.Mapping[str, int]):
    """A mapping that is no dict."""

    def __getitem__(self, key: str) -> int:
        return {"a": 1}[key]

    def __iter__(self) -> Iterator[str]:
        return iter(["a"])

    def __len__(self) -> int:
        return 1


class Row(collections.abc.Sequence[int]):
    """A sequence that is no list."""

    def __getitem__(self, index: Any) -> Any:
        return [1, 2][index]

    def __len__(self) -> int:
        return 2


class Members(collections.abc.Set[int]):
    """A set that is none of Python's."""

    def __contains__(self, value: object) -> bool:
        return value == 1

    def __iter__(self) -> Iterator[int]:
        return iter([1])

    def __len__(self) -> int:
        return 1


@dataclasses.dataclass
class Point:
    x: int = 1


class Thing:
    def __iter__(self) -> Iterator[int]:
        return iter([1])


Pair = collections.namedtuple("Pair", "a b")

#: What is sent, and what arrives.
KINDS: dict[str, tuple[Any, Any]] = {
    "OrderedDict": (collections.OrderedDict(a=1), {"a": 1}),
    "defaultdict": (collections.defaultdict(int, a=1), {"a": 1}),
    "Counter": (collections.Counter("aab"), {"a": 2, "b": 1}),
    "UserDict": (collections.UserDict(a=1), {"a": 1}),
    "ChainMap": (collections.ChainMap({"a": 1}, {"b": 2}), {"a": 1, "b": 2}),
    "MappingProxyType": (types_.MappingProxyType({"a": 1}), {"a": 1}),
    "Mapping": (Frozen(), {"a": 1}),
    "BatchEncoding": (transformers.BatchEncoding({"input_ids": [1, 2]}), {"input_ids": [1, 2]}),
    "ModelOutput": (transformers.utils.ModelOutput(a=1), {"a": 1}),
    "UserList": (collections.UserList([1, 2]), [1, 2]),
    "deque": (collections.deque([1, 2]), [1, 2]),
    "range": (range(3), [0, 1, 2]),
    "array": (array.array("i", [1, 2]), [1, 2]),
    "Sequence": (Row(), [1, 2]),
    "keys": ({"b": 1, "a": 2}.keys(), ["b", "a"]),
    "values": ({"b": 1, "a": 2}.values(), [1, 2]),
    "items": ({"a": []}.items(), [("a", [])]),
    "namedtuple": (Pair(1, 2), (1, 2)),
    "torch.Size": (torch.Size([2, 3]), (2, 3)),
    "Set": (Members(), {1}),
    "UserString": (collections.UserString("a"), "a"),
    "numpy scalar": (np.float32(1.5), 1.5),
    "numpy bool": (np.bool_(True), True),
    "array of objects": (np.array(["a", None], dtype=object), ["a", None]),
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_behaves_like_a_container_is_sent_as_one(kind: str) -> None:
    given, expected = KINDS[kind]
    for back in (round_trip(given), round_trip({"in": [given]})["in"][0]):
        assert (back, type(back)) == (expected, type(expected))


@pytest.mark.parametrize(
    "value",
    [Point(), Thing(), torch.float32, object(), pathlib.Path("x"), complex(1, 2)],
    ids=lambda value: type(value).__name__,
)
def test_any_other_object_stays_here(value: object) -> None:
    kept: list[object] = []

    def register(target: object) -> types.RefParts:
        kept.append(target)
        return types.RefParts("i", "id", "type")

    codec.encode([value], register=register)
    assert kept == [value]


def test_a_pydantic_model_stays_here() -> None:
    model = pydantic.create_model("Model", x=(int, 1))()
    codec.encode(model, register=lambda _: types.RefParts("i", "id", "type"))
    with pytest.raises(exceptions.EncodeError, match="Model"):
        codec.encode(model)


@pytest.mark.parametrize(
    "value",
    [(n for n in range(3)), iter([1]), map(str, [1]), zip([1], [2], strict=True), iter({}), len],
    ids=lambda value: type(value).__name__,
)
def test_what_can_be_read_only_once_is_refused(value: object) -> None:
    with pytest.raises(exceptions.EncodeError, match="cannot be sent, not even by reference"):
        codec.encode([value], register=lambda _: types.RefParts("i", "id", "type"))


def test_a_served_class_is_kept_by_reference_although_it_is_a_mapping() -> None:
    class Served(collections.UserDict[str, int]):
        """A class with a policy."""

    reducers.keep_by_reference(Served)
    kept: list[object] = []

    def register(target: object) -> types.RefParts:
        kept.append(target)
        return types.RefParts("i", "id", "type")

    served = Served(a=1)
    codec.encode({"x": served}, register=register)
    assert kept == [served]


def test_a_mapping_that_holds_itself_is_named() -> None:
    value: collections.UserDict[str, Any] = collections.UserDict()
    value["x"] = value
    with pytest.raises(exceptions.EncodeError, match="contains itself"):
        codec.encode(value)


def test_a_struct_that_came_from_elixir_goes_back_as_one() -> None:
    record = types.Record("SamplingParams", {"n": 2, "stop": ["a"]})
    assert codec.decode(codec.encode(record)) == record
