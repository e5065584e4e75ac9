"""Large values are read in pieces: what comes out is what the unpacker would give."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from python_worker import codec
from python_worker.buffers import LARGE
from python_worker.codec import large_values
from python_worker.codec.large_values import (
    MAX_NAMES,
    MAX_TEXT_BYTES,
    MAX_VALUES,
    PIECE,
    ValueCount,
    check_names,
)
from python_worker.codec.types import Record
from python_worker.exceptions import DecodeError, LimitExceeded
from tests.python.support.codec_values import same

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False)
    | st.text(max_size=40)
    | st.binary(max_size=40)
    | st.sampled_from(["x" * 70_000, b"y" * 70_000, "é" * 40_000, 2**3000])
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=6)
        | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=6)
        | st.lists(inner, max_size=4).map(tuple)
        | st.sampled_from([[0] * 70_000, list(range(30_000)), [[1], {}] * 20_000])
    ),
    max_leaves=12,
)


def decoded(data: bytes) -> Any:
    return codec.decode(data)


@settings(max_examples=150, deadline=None)
@given(VALUES, st.integers(0, 3))
def test_what_was_encoded_is_decoded(value: Any, levels: int) -> None:
    for _ in range(levels):
        value = ["x" * LARGE, value]
    assert same(codec.decode(codec.encode(value)), value)


@pytest.mark.parametrize("size", [200, 60_000, 70_000])
@pytest.mark.parametrize(
    ("head", "item"),
    [
        *((head, b"x") for head in (0xC4, 0xC5, 0xC6, 0xD9, 0xDA, 0xDB)),
        *((head, b"\x05") for head in (0xDC, 0xDD)),
        *((head, None) for head in (0xDE, 0xDF)),
    ],
)
def test_every_form_of_a_size_is_read(head: int, item: bytes | None, size: int) -> None:
    width = 1 if head in (0xC4, 0xD9) else 2 if head in (0xC5, 0xDA, 0xDC, 0xDE) else 4
    size = min(size, 2 ** (8 * width) - 1)
    pairs = (b"\xcd" + n.to_bytes(2, "big") + b"\x05" for n in range(min(size, 2**16)))
    size = size if item else min(size, 2**16)
    content = b"".join(pairs) if item is None else item * size
    form = bytes((head,)) + size.to_bytes(width, "big") + content
    # Beside a large value it is looked at in pieces.
    beside = b"\xc6" + (LARGE + 1).to_bytes(4, "big") + bytes(LARGE + 1)
    for whole in (form, b"\x92" + form + beside, b"\x92" + beside + form):
        expected = msgpack.unpackb(whole, strict_map_key=False, max_bin_len=2**31)
        assert codec.decode(whole) == expected


@settings(max_examples=100, deadline=None)
@given(VALUES, st.data())
def test_cut_or_changed_bytes_are_a_value_or_an_error(value: Any, data: st.DataObject) -> None:
    whole = bytearray(codec.encode(["x" * LARGE, value, [1] * 100]))
    place = data.draw(st.integers(0, len(whole) - 1))
    whole[place] = data.draw(st.integers(0, 255))
    for changed in (bytes(whole), bytes(whole[:place])):
        try:
            codec.decode(changed, resolve=lambda *parts: parts)
        except DecodeError as error:
            assert str(error)  # noqa: PT017


@pytest.mark.parametrize(
    "value",
    [
        {n: n for n in range(50_000)},
        set(range(100_000)),
        ("x" * 100_000, [b"z" * 100_000] * 3, {"k": "v" * 100_000}),
        [{"a": [1, (2, 3)]}] * 20_000,
        [(n, str(n)) for n in range(20_000)],
    ],
    ids=["map", "set", "large parts", "maps", "tuples"],
)
def test_large_containers(value: Any) -> None:
    assert same(codec.decode(codec.encode(value)), value)


def test_a_struct_is_read_with_what_is_large_in_it() -> None:
    data = msgpack.packb(["SamplingParams", {"extra_args": {"x": [7] * 100_000}}])
    data = b"\x91\xc9" + len(data).to_bytes(4, "big") + b"\x0b" + data
    assert decoded(data) == [Record("SamplingParams", {"extra_args": {"x": [7] * 100_000}})]


def test_the_last_of_equal_keys_counts() -> None:
    data = b"\x83\xa1a" + msgpack.packb("x" * LARGE) + b"\xa1b\x01\xa1a\x02"
    assert codec.decode(data) == {"a": 2, "b": 1}


def test_a_large_tensor_is_a_copy_that_can_be_written_to() -> None:
    tensor = torch.arange(100_000, dtype=torch.float32)
    data = codec.encode([tensor, "x"])
    back = decoded(data)[0]
    assert torch.equal(back, tensor)
    back += 1
    assert torch.equal(decoded(data)[0], tensor)


def test_a_stream_is_opened_once_beside_what_is_large() -> None:
    opened: list[int] = []

    def stream() -> str:
        opened.append(1)
        return "stream"

    data = b"\x93" + b"\xc7\x01\x0f\x90" + msgpack.packb(["x" * 200_000]) + b"\x01"
    assert codec.decode(data, stream=stream) == ["stream", ["x" * 200_000], 1]
    assert opened == [1]


@pytest.mark.parametrize(
    "data",
    [
        b"\xdd" + (MAX_VALUES + 1).to_bytes(4, "big") + b"\x00" * (MAX_VALUES + 1),
        b"\xdd" + (2**32 - 1).to_bytes(4, "big") + b"\x00" * LARGE,
        b"\x92" + (b"\xdd" + (601_000).to_bytes(4, "big") + b"\x90" * 601_000) * 2,
        b"\xdf" + (601_000).to_bytes(4, "big") + msgpack.packb("key") * 1_202_000,
        b"\xdd" + (30_000).to_bytes(4, "big") + (b"\xdc\x00\x40" + b"\x00" * 64) * 30_000,
        b"\xdd" + (40).to_bytes(4, "big") + (b"\xc8\x80\x03\x02\xdc\x80\x00" + b"\0" * 32768) * 40,
    ],
    ids=["one list", "a header that lies", "two lists", "a map", "many lists", "many sets"],
)
def test_too_many_values_are_refused(data: bytes) -> None:
    with pytest.raises(LimitExceeded, match=f"more than {MAX_VALUES} values"):
        codec.decode(data)


def test_values_of_several_arguments_are_counted_together() -> None:
    data = b"\xdd" + (MAX_VALUES // 2).to_bytes(4, "big") + b"\x00" * (MAX_VALUES // 2)
    count = ValueCount()
    codec.decode(data, count=count)
    codec.decode(data, count=count)
    with pytest.raises(LimitExceeded):
        codec.decode(data, count=count)


@pytest.mark.parametrize("count", [0, 1, MAX_NAMES])
def test_as_many_names_as_methods_have_are_taken(count: int) -> None:
    check_names(memoryview(msgpack.packb({f"n{n}": None for n in range(count)})))


def test_more_names_than_any_method_has_are_refused_before_they_are_read() -> None:
    with pytest.raises(LimitExceeded, match=f"{MAX_NAMES + 1} arguments by name .* {MAX_NAMES}"):
        check_names(memoryview(msgpack.packb(dict.fromkeys(range(MAX_NAMES + 1)))))
    check_names(memoryview(b""))
    check_names(memoryview(b"\xc1"))


def test_as_many_values_as_the_limit_are_read() -> None:
    data = b"\xdd" + MAX_VALUES.to_bytes(4, "big") + b"\x00" * MAX_VALUES
    assert len(decoded(data)) == MAX_VALUES


def test_a_text_that_is_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large_values, "MAX_TEXT_BYTES", 3 * PIECE)
    assert MAX_TEXT_BYTES > 3 * PIECE
    assert codec.decode(msgpack.packb("x" * 3 * PIECE))
    with pytest.raises(LimitExceeded, match=f"the limit is {3 * PIECE}"):
        codec.decode(msgpack.packb("x" * (3 * PIECE + 1)))


@pytest.mark.parametrize("text", ["é" * 2_000_000, "\U0001f389" * 600_000])
def test_a_character_on_the_edge_of_a_piece_is_whole(text: str) -> None:
    assert codec.decode(msgpack.packb("x" + text)) == "x" + text


@pytest.mark.parametrize(
    "data",
    [
        msgpack.packb("x" * LARGE)[:-1],
        msgpack.packb(b"x" * LARGE)[:-1],
        msgpack.packb("x" * LARGE) + b"\x00",
        msgpack.packb([0] * LARGE)[:-1],
        b"\xdb\x00\x01\x00\x00" + b"\xff" * LARGE,
        b"\xc9\x00\x01\x00\x00\x03" + b"\x01" * LARGE,
        b"\x91" + b"\xc1" * LARGE,
    ],
    ids=["text", "bytes", "more", "list", "no UTF-8", "integer", "no MessagePack"],
)
def test_what_is_no_value_is_an_error(data: bytes) -> None:
    with pytest.raises(DecodeError):
        codec.decode(data)


@pytest.mark.parametrize("value", [5, None, 1.5, "x", [1], {}, 2**70])
@pytest.mark.parametrize("behind", [0, 1])
def test_what_is_read_once_may_be_a_key_of_any_value(value: object, behind: int) -> None:
    """Found by random bytes: a number behind such a key was taken for the end of the value."""
    stream = b"\xd4\x0f\x90"
    pairs = [stream + codec.encode(value), *(codec.encode(n) + b"\x07" for n in range(behind))]
    mapped = bytes((0x80 + len(pairs),)) + b"".join(pairs)
    expected: dict[object, object] = {"a stream": value}
    expected.update(dict.fromkeys(range(behind), 7))
    for whole, outcome in (
        (mapped, expected),
        (b"\x92" + codec.encode(b"x" * LARGE) + mapped, [b"x" * LARGE, expected]),
    ):
        assert codec.decode(whole, stream=lambda: "a stream") == outcome
