"""Properties of the decoder: any bytes are a value or an error."""

from __future__ import annotations

import json
from pathlib import Path

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


@given(st.binary())
def test_any_bytes_are_a_value_or_an_error(data: bytes) -> None:
    decode(data)


@settings(max_examples=500)
@given(
    st.sampled_from(VECTORS),
    st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), max_size=4),
    st.integers(0, 2000),
)
def test_a_mutated_vector_is_a_value_or_an_error(
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
