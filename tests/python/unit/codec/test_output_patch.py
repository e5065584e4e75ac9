"""The bytes of plain patches: as the general encoder would write them."""

from __future__ import annotations

import msgpack
import pytest

from python_worker.codec import item_encoder, output_patch
from tests.python.support.patches import (
    Consumer,
    completion,
    expected,
    item,
)
from tests.python.support.plain_items import KINDS, PlainStream

#: At the edges of the shortest format of a string, and lone surrogates, which UTF-8 cannot encode.
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


@KINDS
@pytest.mark.parametrize("text", TEXTS, ids=ascii)
def test_text(text: str, cumulative: bool) -> None:
    stream = PlainStream([0], cumulative=cumulative)
    for _ in range(2):
        stream.check({0: (text, 7)})


@KINDS
@pytest.mark.parametrize("token_id", TOKEN_IDS, ids=hex)
def test_token_id(token_id: int, cumulative: bool) -> None:
    stream = PlainStream([0], cumulative=cumulative)
    for _ in range(2):
        stream.check({0: ("a", token_id)})


@KINDS
@pytest.mark.parametrize("index", INDEXES, ids=hex)
def test_index(index: int, cumulative: bool) -> None:
    stream = PlainStream([index], cumulative=cumulative)
    for _ in range(2):
        stream.check({index: ("a", 7)})


@KINDS
@pytest.mark.parametrize("count", [1, 15, 16, 17])
def test_number_of_completions(count: int, cumulative: bool) -> None:
    stream = PlainStream(list(range(count)), cumulative=cumulative)
    stream.check({index: ("a", index) for index in range(count)})
    stream.check({index: ("b", index) for index in reversed(range(count))})
    stream.check({count - 1: ("c", 7)})


@pytest.mark.parametrize("limit", [0x100, 0x1_0000], ids=hex)
def test_lengths_at_the_edge_of_an_extension(limit: int) -> None:
    """The header of an extension has one, two or four bytes of length."""
    headers = set()
    for size in range(limit - 32, limit + 1):
        data = PlainStream([0], cumulative=False).check({0: ("x" * size, 7)})
        headers.add(data[0])
    assert headers == ({0xC7, 0xC8} if limit == 0x100 else {0xC8, 0xC9})


@pytest.mark.parametrize("size", [0, 100, 300, 70_000])
def test_patches_of_every_size(size: int) -> None:
    encoder, consumer = item_encoder.ItemEncoder(), Consumer()
    for text in ("", "x" * size):
        value = item(completion(text=text))
        assert consumer.apply(encoder.encode(value)) == expected(value)


@pytest.mark.parametrize("number", [0, 0x7F, 0x80, 0xFF, 0x100, 0xFFFF, 0x1_0000, 0xFFFF_FFFF])
def test_numbers_are_as_short_as_the_packer_makes_them(number: int) -> None:
    assert output_patch.unsigned(number) == msgpack.packb(number)


@pytest.mark.parametrize("size", [0, 0xFF, 0x100, 0xFFFF, 0x1_0000])
def test_the_header_of_a_patch_is_the_packers(size: int) -> None:
    packed = output_patch.extension(bytes(size))
    assert msgpack.unpackb(packed) == msgpack.ExtType(13, bytes(size))


@pytest.mark.parametrize(
    ("index", "text", "token_id"),
    [(0x80, "a", 1), (0, "a" * 32, 1), (0, "\ud800", 1), (0, "a", 2**32), (0, "a", -1)],
)
def test_a_completion_that_needs_the_general_encoder(index: int, text: str, token_id: int) -> None:
    assert output_patch.plain_completion(index, text, token_id) is None
