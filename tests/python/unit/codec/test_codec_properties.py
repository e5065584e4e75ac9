"""Properties of the codec: any value there and back, and any bytes without a crash."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from python_worker import codec, exceptions
from tests.vectors import make

VECTORS = [
    bytes.fromhex(entry["hex"])
    for name in ("values.json", "malformed.json")
    for entry in json.loads((Path(make.__file__).parent / name).read_text())
    if len(entry["hex"]) < 2000
]

hashable_leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(min_value=-(2**70), max_value=2**70),
    st.floats(allow_nan=False),
    st.text(),
    st.binary(),
    st.datetimes(),
    st.datetimes(timezones=st.just(dt.UTC)),
    st.dates(),
    st.times(),
)
hashables = st.recursive(
    hashable_leaves, lambda inner: st.lists(inner, max_size=4).map(tuple), max_leaves=6
)
values = st.recursive(
    hashables,
    lambda inner: st.one_of(
        st.lists(inner, max_size=6),
        st.lists(inner, max_size=6).map(tuple),
        st.dictionaries(hashables, inner, max_size=6),
        st.sets(hashables, max_size=6),
    ),
    max_leaves=30,
)


def replaced(value: Any) -> Any:
    """Replaces lone surrogates, as the encoder does."""
    if isinstance(value, str):
        return "".join("\ufffd" if 0xD800 <= ord(char) < 0xE000 else char for char in value)
    if isinstance(value, (list, tuple, set)):
        return type(value)(map(replaced, value))
    if isinstance(value, dict):
        return {replaced(key): replaced(part) for key, part in value.items()}
    return value


@given(values)
def test_any_value_there_and_back(value: object) -> None:
    back = codec.decode(codec.encode(value))
    assert back == replaced(value)
    assert codec.encode(back) == codec.encode(replaced(value))


@given(values)
def test_any_value_beside_a_refused_one_is_refused_with_its_path(value: object) -> None:
    try:
        codec.encode({"good": value, "bad": [value, object()]})
    except exceptions.EncodeError as error:
        assert error.path == "value['bad'][1]"  # noqa: PT017
    else:
        raise AssertionError


@given(st.binary())
def test_any_bytes_are_a_value_or_refused(data: bytes) -> None:
    decode(data)


@settings(max_examples=500)
@given(
    st.sampled_from(VECTORS),
    st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), max_size=4),
    st.integers(0, 2000),
)
def test_mutated_vectors_are_values_or_refused(
    vector: bytes, changes: list[tuple[int, int]], length: int
) -> None:
    data = bytearray(vector)
    for position, byte in changes:
        if data:
            data[position % len(data)] = byte
    decode(bytes(data))
    decode(bytes(data[:length]))


def decode(data: bytes) -> None:
    try:
        codec.decode(data, resolve=lambda *parts: parts)
    except exceptions.DecodeError as error:
        assert str(error)  # noqa: PT017
