"""Values may be nested to one limit, whatever they are made of and wherever they are."""

from __future__ import annotations

import re
import sys
from collections import UserDict, UserList
from collections.abc import Callable
from itertools import product
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from python_worker import codec
from python_worker.codec.depth import CONTAINERS, MAX_DEPTH, containers_in
from python_worker.codec.extension_types import LOGPROB, RECORD, SET, TUPLE
from python_worker.codec.value_paths import check_answer
from python_worker.exceptions import EncodeError, LimitExceeded
from tests.vectors import make

ENCODER = Path(__file__).parents[4] / "elixir/lib/vllm/core/codec/encoder.ex"

Wrap = Callable[[Any], Any]


def extension(code: int, content: object) -> msgpack.ExtType:
    return msgpack.ExtType(code, msgpack.packb(content))


# Each puts a value into one container more, as a client may send it.
SENT: dict[str, Wrap] = {
    "list": lambda value: [value],
    "list with others": lambda value: [1, "x", value, None],
    "map": lambda value: {"k": value},
    "map with an odd key": lambda value: {2.5: value},
    "tuple": lambda value: extension(TUPLE, [value]),
    "struct": lambda value: extension(RECORD, ["SamplingParams", {"extra_args": value}]),
}
# Inside these a value has to be hashable.
SENT_KEYS: dict[str, Wrap] = {
    "key": lambda value: extension(TUPLE, [value]),
    "member of a set": lambda value: extension(TUPLE, [value]),
}
ANSWERED: dict[str, Wrap] = {
    "list": lambda value: [value],
    "map": lambda value: {"k": value},
    "tuple": lambda value: (value,),
    "mapping": lambda value: UserDict(k=value),
    "proxy": lambda value: MappingProxyType({"k": value}),
    "sequence": lambda value: UserList([value]),
    "struct": lambda value: make.stub("PoolingOutput", data=value),
}
POSITIONS: dict[str, Wrap] = {
    "first": lambda value: [value],
    "in the middle": lambda value: [1, [2], value, {"x": 3}],
    "by name": lambda value: {"a": 1, "b": value},
}


def nest(levels: int, wraps: list[Wrap], inner: Any = 1) -> Any:
    value = inner
    for level in range(levels):
        value = wraps[level % len(wraps)](value)
    return value


def limit(value: Any) -> bytes:
    """The bytes, made without the packer, which has a limit of its own."""
    return bytes(msgpack.packb(value))


@pytest.mark.parametrize(("shape", "position"), list(product(SENT, POSITIONS)))
def test_what_is_sent_is_taken_up_to_the_limit_and_no_further(shape: str, position: str) -> None:
    for levels in (1, MAX_DEPTH - 2, MAX_DEPTH - 1):
        codec.decode(limit(POSITIONS[position](nest(levels, [SENT[shape]]))))
    for levels in (MAX_DEPTH, MAX_DEPTH + 1, 300):
        data = limit(POSITIONS[position](nest(levels, [SENT[shape]])))
        with pytest.raises(LimitExceeded, match=f"more than {MAX_DEPTH} containers") as caught:
            codec.decode(data, root="args")
        assert caught.value.details["limit"] == MAX_DEPTH
        assert str(caught.value).startswith("args")


@given(
    st.lists(st.sampled_from(sorted(SENT)), min_size=1, max_size=4),
    st.integers(0, 2 * MAX_DEPTH),
    st.sampled_from(sorted(POSITIONS)),
)
def test_mixed_shapes_have_the_same_limit(shapes: list[str], levels: int, position: str) -> None:
    data = limit(POSITIONS[position](nest(levels, [SENT[shape] for shape in shapes])))
    try:
        codec.decode(data)
    except LimitExceeded:
        assert levels + 1 > MAX_DEPTH
    else:
        assert levels + 1 <= MAX_DEPTH


@pytest.mark.parametrize("levels", [*range(MAX_DEPTH - 2, MAX_DEPTH + 3), 300, 500])
@pytest.mark.parametrize("place", SENT_KEYS)
def test_keys_and_members_of_sets_count_too(levels: int, place: str) -> None:
    inner = nest(levels, [SENT_KEYS[place]])
    # The packer takes no extension type for a key, so the map is written by hand.
    data = (
        b"\x81" + limit(inner) + b"\x01"
        if place == "key"
        else limit(msgpack.ExtType(SET, b"\x91" + limit(inner)))
    )
    if levels < MAX_DEPTH:
        codec.decode(data)
        return
    with pytest.raises(LimitExceeded):
        codec.decode(data)


@pytest.mark.parametrize("levels", [500, 1000, 1024, 1025, 5000, 100_000, 1_000_000])
@pytest.mark.parametrize("head", [b"\x91", b"\x81\x01", b"\xdd\0\0\0\x01", b"\xdc\0\x01"])
def test_bytes_of_any_depth_are_refused(head: bytes, levels: int) -> None:
    with pytest.raises(LimitExceeded, match="containers"):
        codec.decode(head * levels + b"\x01")


@pytest.mark.parametrize("code", [TUPLE, SET, RECORD, LOGPROB])
def test_nested_extension_types_are_refused(code: int) -> None:
    data = b"\x90"
    for _ in range(400):
        data = b"\x91\xc9" + len(data).to_bytes(4, "big") + bytes([code]) + data
    with pytest.raises(LimitExceeded):
        codec.decode(data)


@pytest.mark.parametrize("large", [False, True])
def test_a_large_value_has_the_same_limit(large: bool) -> None:
    beside = "x" * (200_000 if large else 1)
    wraps: list[Wrap] = [lambda value: [beside, value, beside]]
    codec.decode(limit(nest(MAX_DEPTH, wraps)))
    with pytest.raises(LimitExceeded):
        codec.decode(limit(nest(MAX_DEPTH + 1, wraps)))


# The content of an extension type is unpacked by itself, so its limit is not the unpacker's.
FLAT: dict[str, Wrap] = {
    "logprob": lambda value: extension(LOGPROB, [0.5, value, None]),
    "set of tuples": lambda value: extension(SET, [extension(TUPLE, [value])]),
    "struct in a tuple": lambda value: extension(
        TUPLE, [extension(RECORD, ["SamplingParams", {"extra_args": value}])]
    ),
}


@pytest.mark.parametrize("levels", range(MAX_DEPTH - 4, MAX_DEPTH + 5))
@pytest.mark.parametrize("shape", FLAT)
def test_the_limit_holds_around_an_extension_type(shape: str, levels: int) -> None:
    inner = FLAT[shape](1)
    own = depth_of(codec.decode(limit(inner)))
    data = limit(nest(levels, [SENT["list"]], inner))
    if levels + own <= MAX_DEPTH:
        codec.decode(data)
        return
    with pytest.raises(LimitExceeded, match=f"more than {MAX_DEPTH} containers"):
        codec.decode(data)


def depth_of(value: Any) -> int:
    """In how many containers the innermost part is."""
    inner = containers_in(value) if type(value) in CONTAINERS else []
    return (type(value) in CONTAINERS) + max(map(depth_of, inner), default=0)


# Of what is answered, these have to be hashable.
ANSWERED_KEYS: dict[str, Wrap] = {
    "key": lambda value: {value: 1},
    "member of a set": lambda value: {value},
    "member of a frozen set": lambda value: frozenset([value]),
}


@pytest.mark.parametrize("inner", ["tuple", "frozen set"])
@pytest.mark.parametrize("place", ANSWERED_KEYS)
def test_keys_and_members_of_answers_count_too(place: str, inner: str) -> None:
    wrap: Wrap = (lambda value: (value,)) if inner == "tuple" else (lambda it: frozenset([it]))
    for levels in (1, MAX_DEPTH - 2, MAX_DEPTH - 1):
        value = ANSWERED_KEYS[place](nest(levels, [wrap]))
        check_answer(value)
        assert codec.Encoder().encode(value)
    for levels in (MAX_DEPTH, MAX_DEPTH + 1, 500):
        value = ANSWERED_KEYS[place](nest(levels, [wrap]))
        with pytest.raises(EncodeError, match=f"more than {MAX_DEPTH} containers"):
            check_answer(value)


@pytest.mark.parametrize("shape", ANSWERED)
def test_answers_of_any_depth_are_sent_or_refused(shape: str) -> None:
    encoder = codec.Encoder()
    for levels in (1, MAX_DEPTH - 1, MAX_DEPTH):
        value = nest(levels, [ANSWERED[shape]])
        check_answer(value)
        assert encoder.encode(value)
    for levels in (MAX_DEPTH + 1, 490, 498, 500, 511, 512, 2000, 100_000):
        value = nest(levels, [ANSWERED[shape]])
        with pytest.raises(EncodeError, match=f"more than {MAX_DEPTH} containers"):
            check_answer(value)


def test_the_path_of_an_answer_that_is_too_deep_is_named() -> None:
    with pytest.raises(EncodeError) as caught:
        check_answer({"x": nest(500, [ANSWERED["list"]])})
    assert caught.value.path.startswith("value['x'][0][0]")
    assert len(caught.value.path) < 250


def test_elixir_has_the_same_limit() -> None:
    (found,) = re.findall(r"@max_depth (\d+)$", ENCODER.read_text(), re.MULTILINE)
    assert int(found) == MAX_DEPTH


def test_the_limit_leaves_room_below_pythons() -> None:
    assert sys.getrecursionlimit() - 200 > 5 * MAX_DEPTH
