"""Values are encoded, and arrive as the table of values says."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from python_worker import codec, exceptions
from python_worker.codec import types
from tests.python.support.codec_values import round_trip, same
from tests.vectors import make

# Every edge of MessagePack's integer formats, and beyond 64 bits.
INTS = make.INTS


FLOATS = list(make.FLOATS.values())


SIZES = [0, 1, 15, 16, 31, 32, 255, 256, 65535, 65536]


@pytest.mark.parametrize("value", [None, True, False, *INTS, *FLOATS])
def test_numbers_keep_type_and_bits(value: object) -> None:
    assert same(round_trip(value), value)
    assert same(round_trip([{"x": (value,)}]), [{"x": (value,)}])


@pytest.mark.parametrize("bits", range(1, 130))
def test_integers_around_each_power_of_two(bits: int) -> None:
    for near in (-1, 0, 1):
        assert round_trip(2**bits + near) == 2**bits + near
        assert round_trip(-(2**bits) + near) == -(2**bits) + near


@pytest.mark.parametrize("size", SIZES)
def test_sizes_at_the_edges_of_each_format(size: int) -> None:
    for value in ("a" * size, b"a" * size, [None] * size, (None,) * size, set(range(size))):
        assert same(round_trip(value), value)
    assert round_trip(dict.fromkeys(range(size))) == dict.fromkeys(range(size))


@pytest.mark.parametrize("text", make.TEXTS.values(), ids=make.TEXTS.keys())
def test_text(text: str) -> None:
    assert same(round_trip(text), text)


def test_lone_surrogates_become_replacement_characters() -> None:
    assert round_trip("a\ud800b\udc00\udc00c") == "a\ufffdb\ufffd\ufffdc"
    assert round_trip({"\ud800": ["\udfff😀"]}) == {"\ufffd": ["\ufffd😀"]}


def test_bytes_of_every_value_and_of_ten_megabytes() -> None:
    everything = bytes(range(256))
    for value in (everything, bytearray(everything), memoryview(everything)):
        assert same(round_trip(value), everything)
    large = everything * 40_000
    assert round_trip([large])[0] == large
    with pytest.raises(exceptions.EncodeError, match="not contiguous"):
        codec.encode(memoryview(everything)[::2])


@pytest.mark.parametrize(
    "value",
    [
        [], (), set(), {}, [()], ([],), {(): []}, [[], (), set(), {}],
        {1: "int", "1": "text", (1, 2): "tuple", None: "none", 2.5: "float", b"1": "bytes"},
        {True: 1}, {False: ()}, {frozenset({1}): 0} and {(None, (1,)): {(2,)}},
        [[1, [2, [3, (4, [5])]]]],
    ],
)  # fmt: skip
def test_containers_keep_their_type(value: object) -> None:
    assert same(round_trip(value), value)


def test_frozen_sets_arrive_as_sets() -> None:
    assert same(round_trip(frozenset({1, 2})), {1, 2})


@dataclass
class Plain:
    x: int = 1


def test_any_other_object_becomes_a_reference() -> None:
    seen: list[object] = []

    def register(value: object) -> types.RefParts:
        seen.append(value)
        return types.RefParts("inc", str(len(seen)), type(value).__qualname__)

    first, second = Plain(), object()
    data = codec.encode({"a": [first], "b": second, "c": 2**70}, register=register)
    assert seen == [first, second]
    resolved = codec.decode(data, resolve=lambda incarnation, identity: (incarnation, identity))
    assert resolved == {"a": [("inc", "1")], "b": ("inc", "2"), "c": 2**70}


def test_exceptions_of_register_and_resolve_pass_through() -> None:
    def full(_value: object) -> types.RefParts:
        raise ValueError("full")

    def gone(_incarnation: str, _identity: str) -> object:
        raise ValueError("gone")

    with pytest.raises(ValueError, match="full"):
        codec.encode([object()], register=full)
    data = make.encode((make.Opaque("a", "b", "c"),))
    with pytest.raises(ValueError, match="gone"):
        codec.decode(data, resolve=gone)


def test_an_exception_is_sent_as_the_failure_that_a_callback_makes() -> None:
    data = codec.encode([ValueError("boom")], failure_bytes=lambda error: str(error).encode())
    assert data == b"\x91" + b"\xd6\x0cboom"


def test_an_encoder_can_be_used_after_an_error() -> None:
    encoder = codec.Encoder()
    for _ in range(3):
        with pytest.raises(exceptions.EncodeError):
            encoder.encode([1, (2, {3: object()})])
        assert encoder.encode((1,)) == codec.encode((1,))
