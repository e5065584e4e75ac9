"""gRPC on HTTP/2: messages cut at any place, and headers that any HPACK decoder reads."""

from __future__ import annotations

import re
import string
import tracemalloc
from collections.abc import Callable
from urllib.parse import unquote

import grpc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from python_worker.buffers import Buffer
from python_worker.wire import grpc_messages
from python_worker.wire.grpc_messages import MessageReader, RpcStatus
from python_worker.wire.limits import MAX_MESSAGE_BYTES
from tests.python.support.http2_frames import pieces

MEGABYTE = 1024 * 1024

#: The largest frame that every client takes, so what a header block has to fit into.
DEFAULT_FRAME = 16_384


# -- Header blocks -----------------------------------------------------------------------------


def read_headers(block: bytes) -> list[tuple[bytes, bytes]]:
    """What RFC 7541, section 6.2.2 makes of literal headers without indexing, with new names."""
    headers = []
    while block:
        assert block[0] == 0
        name, block = read_string(block[1:])
        value, block = read_string(block)
        headers.append((name, value))
    return headers


def read_string(block: bytes) -> tuple[bytes, bytes]:
    """A string (section 5.2), whose length is an integer with a prefix of 7 bits (5.1)."""
    assert not block[0] & 0x80, "no Huffman code"
    length, place = block[0] & 0x7F, 1
    if length == 2**7 - 1:
        shift = 0
        while True:
            byte, place = block[place], place + 1
            length += (byte & 0x7F) * 2**shift
            shift += 7
            if not byte & 0x80:
                break
    assert len(block) >= place + length
    return block[place : place + length], block[place + length :]


@pytest.mark.parametrize(
    ("length", "wire"),
    [
        (0, "00"),
        (1, "01"),
        (126, "7e"),
        (127, "7f00"),
        (128, "7f01"),
        (254, "7f7f"),
        (255, "7f8001"),
        (300, "7fad01"),
        # The edge of the third byte, and RFC 7541's own example with one bit more.
        (127 + 16_383, "7fff7f"),
        (127 + 16_384, "7f808001"),
    ],
)
def test_a_literal_has_the_lengths_of_hpack(length: int, wire: str) -> None:
    text = "x" * length
    counted = bytes.fromhex(wire) + text.encode()
    assert grpc_messages.literal("name", text) == b"\x00\x04name" + counted
    assert grpc_messages.literal(text, "value") == b"\x00" + counted + b"\x05value"
    assert read_headers(grpc_messages.literal(text, text)) == [(text.encode(), text.encode())]


@given(
    st.text(max_size=400).filter(str.isprintable) | st.integers(0, 70_000).map(lambda n: "x" * n),
)
def test_any_literal_is_read_back(text: str) -> None:
    assert read_headers(grpc_messages.literal(text, text)) == [(text.encode(), text.encode())]


def test_the_length_of_a_literal_is_in_bytes() -> None:
    text = "ü" * 100
    assert grpc_messages.literal("n", text) == b"\x00\x01n" + b"\x7f\x49" + text.encode()


def test_the_response_is_200_and_grpc() -> None:
    # Section 6.3: the size of the dynamic table is zero.
    assert grpc_messages.RESPONSE[0] == 0x20 | 0
    # Section 6.1 and appendix A: the header with index 8 is `:status: 200`.
    assert grpc_messages.RESPONSE[1] == 0x80 | 8
    assert read_headers(grpc_messages.RESPONSE[2:]) == [(b"content-type", b"application/grpc")]


# -- Trailers ----------------------------------------------------------------------------------


def read_trailers(block: bytes) -> tuple[int, str]:
    """Status and message, still percent-encoded."""
    (status_name, status), (message_name, message) = read_headers(block)
    assert (status_name, message_name) == (b"grpc-status", b"grpc-message")
    said = message.decode("ascii")
    assert re.fullmatch(r"([ -$&-~]|%[0-9A-F]{2})*", said), "printable, each % begins a code"
    assert len(block) <= DEFAULT_FRAME
    return int(status), said


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("", ""),
        ("plain words", "plain words"),
        ("100 %", "100 %25"),
        ("%41 is not A", "%2541 is not A"),
        ("%", "%25"),
        ("two\nlines\r\n", "two%0Alines%0D%0A"),
        ("\x00\t\x1f\x7f", "%00%09%1F%7F"),
        ("für", "f%C3%BCr"),
        ("\u20ac 5", "%E2%82%AC 5"),
        ("\U0001f600", "%F0%9F%98%80"),
        ("a+b=c&d/e?f#g;h:i@j,k", "a+b=c&d/e?f#g;h:i@j,k"),
        ("\"quoted\" 'words' <and> {more} [of] `it` ~ | ^ \\ ! $ ( ) *",) * 2,
    ],
)
def test_a_message_is_percent_encoded(message: str, said: str) -> None:
    assert read_trailers(grpc_messages.trailers(13, message)) == (13, said)
    assert unquote(said) == message


def test_printable_characters_are_themselves_but_for_percent() -> None:
    for char in string.printable[:95]:
        assert 0x20 <= ord(char) < 0x7F
        _, said = read_trailers(grpc_messages.trailers(2, char))
        assert said == ("%25" if char == "%" else char)


@given(st.integers(0, 16), st.text(max_size=200))
def test_any_message_is_read_back(status: int, message: str) -> None:
    read, said = read_trailers(grpc_messages.trailers(status, message))
    assert (read, unquote(said, errors="strict")) == (status, message)


@pytest.mark.parametrize("char", ["x", "%", "\n", "ü", "\u20ac", "\U0001f600"])
@pytest.mark.parametrize("length", [999, 1000, 1001, 100_000])
def test_a_long_message_is_cut_and_fits_into_the_smallest_frame(char: str, length: int) -> None:
    _, said = read_trailers(grpc_messages.trailers(13, char * length))
    assert unquote(said, errors="strict") == char * min(length, 1000)


def test_a_status_alone_has_an_empty_message() -> None:
    assert read_trailers(grpc_messages.trailers(grpc_messages.OK)) == (0, "")


@pytest.mark.parametrize("code", grpc.StatusCode)
def test_status_codes_are_those_of_grpc(code: grpc.StatusCode) -> None:
    number: int = code.value[0]
    assert getattr(grpc_messages, code.name, number) == number


# -- Messages ----------------------------------------------------------------------------------


def message(body: bytes, *, flag: int = 0, claim: int | None = None) -> bytes:
    """A message with a prefix that may lie."""
    return bytes((flag,)) + (len(body) if claim is None else claim).to_bytes(4, "big") + body


@pytest.mark.parametrize("size", [0, 1, 255, 256, 65_536, MAX_MESSAGE_BYTES, 2**32 - 1])
def test_a_prefix_is_what_stands_before_a_message(size: int) -> None:
    assert grpc_messages.prefix(size) == message(b"", claim=size)


BODIES = [b"first", b"", b"\x00" * 7, b"x" * 300, b"", b"", b"last"]


@pytest.mark.parametrize("kind", [bytes, memoryview])
def test_messages_are_the_same_wherever_they_are_cut(kind: type[bytes] | type[memoryview]) -> None:
    whole = b"".join(map(message, BODIES))
    for length in range(1, 8):
        for place in range(len(whole)):
            messages = MessageReader()
            cut = [whole[:place], whole[place : place + length], whole[place + length :]]
            assert [found for piece in cut for found in messages.push(kind(piece))] == BODIES


@settings(max_examples=300)
@given(
    st.lists(st.binary(max_size=40) | st.integers(0, 2000).map(bytes), max_size=8),
    st.lists(st.integers(1, 60), min_size=1, max_size=8),
    st.lists(st.sampled_from([bytes, memoryview]), min_size=1, max_size=3),
)
def test_a_message_is_there_as_soon_as_its_last_byte(
    bodies: list[bytes], sizes: list[int], kinds: list[type[bytes] | type[memoryview]]
) -> None:
    whole = b"".join(map(message, bodies))
    ends = [len(b"".join(map(message, bodies[: n + 1]))) for n in range(len(bodies))]
    messages = MessageReader()
    found: list[Buffer] = []
    come = 0
    for number, piece in enumerate(pieces(whole, sizes)):
        found += messages.push(kinds[number % len(kinds)](piece))
        come += len(piece)
        assert found == bodies[: sum(end <= come for end in ends)]
        assert all(type(one) is bytes for one in found)
    assert found == bodies


def test_a_piece_of_nothing_is_nothing() -> None:
    messages = MessageReader()
    for piece in (b"", memoryview(b""), b"\x00", b"", b"\x00\x00\x00\x02", b"", b"a", b""):
        assert messages.push(piece) == []
    assert messages.push(b"b") == [b"ab"]


@pytest.mark.parametrize("flag", [1, 2, 255])
@pytest.mark.parametrize("sizes", [[100], [1], [5], [7, 1]])
def test_a_compressed_message_is_refused(flag: int, sizes: list[int]) -> None:
    status, words = refused(b"", message(b"body", flag=flag), sizes)
    assert status == grpc.StatusCode.UNIMPLEMENTED.value[0]
    assert words == "a message is compressed, which is not supported"


@pytest.mark.parametrize("claim", [MAX_MESSAGE_BYTES + 1, 2**31 - 1, 2**31, 2**32 - 1])
@pytest.mark.parametrize("sizes", [[100], [1], [5], [8, 1]])
def test_a_message_that_claims_too_much_is_refused(claim: int, sizes: list[int]) -> None:
    good = message(b"good")
    status, words = refused(good, message(b"", claim=claim), sizes)
    assert status == grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
    assert words == f"a message of {claim} bytes; at most 268435456 are accepted"


def refused(good: bytes, bad: bytes, sizes: list[int]) -> tuple[int, str]:
    """Why a message is refused behind good ones, which it is with the last byte of its prefix."""
    with pytest.raises(RpcStatus):
        MessageReader().push(good + bad)
    messages = MessageReader()
    for piece in pieces(good + bad[:4], sizes):
        messages.push(piece)
    with pytest.raises(RpcStatus) as caught:
        messages.push(bad[4:])
    assert str(caught.value) == caught.value.message
    return caught.value.status, caught.value.message


# -- Memory ------------------------------------------------------------------------------------


class Peak:
    """How much memory was taken beyond what there was, at the most."""

    def __enter__(self) -> Peak:
        tracemalloc.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()


def test_no_memory_is_taken_for_what_is_only_claimed() -> None:
    messages = MessageReader()
    with Peak() as peak:
        assert messages.push(message(b"x" * 100, claim=MAX_MESSAGE_BYTES)) == []
    assert peak.size < 100_000


def whole_in_bytes(body: bytes) -> list[Buffer]:
    return [message(body)]


def whole_in_a_view(body: bytes) -> list[Buffer]:
    return [memoryview(message(body))]


def behind_its_prefix(body: bytes) -> list[Buffer]:
    return [message(body)[:5], memoryview(body)]


def in_views(body: bytes) -> list[Buffer]:
    return [memoryview(piece) for piece in pieces(message(body), [100_000])]


def with_others(body: bytes) -> list[Buffer]:
    return [message(b"before") + message(body) + message(b"after")]


@pytest.mark.parametrize(
    "come", [whole_in_bytes, whole_in_a_view, behind_its_prefix, in_views, with_others]
)
def test_a_message_is_copied_once(come: Callable[[bytes], list[Buffer]]) -> None:
    body = bytes(range(256)) * (4 * MEGABYTE // 256)
    parts = come(body)
    messages = MessageReader()
    with Peak() as peak:
        found = [one for part in parts for one in messages.push(part)]
    assert body in found
    assert peak.size < 4.1 * MEGABYTE


class Watched(bytes):
    """Bytes that keep what was cut out of them."""

    def __getitem__(self, place: object) -> bytes:  # type: ignore[override]
        part: bytes = super().__getitem__(place)  # type: ignore[call-overload]
        self.__dict__.setdefault("parts", []).append(part)
        return part


def test_a_message_that_came_whole_is_the_slice_itself() -> None:
    piece = Watched(message(b"a") + message(b"the whole message"))
    first, second = MessageReader().push(piece)
    assert any(first is part for part in piece.__dict__["parts"])
    assert any(second is part for part in piece.__dict__["parts"])


def test_nothing_is_kept_of_messages_that_are_over() -> None:
    messages = MessageReader()
    with Peak():
        for _ in range(100):
            (found,) = [
                one
                for piece in pieces(message(bytes(MEGABYTE)), [9000])
                for one in messages.push(piece)
            ]
            assert len(found) == MEGABYTE
        del found
        kept, _ = tracemalloc.get_traced_memory()
    assert kept < 100_000
