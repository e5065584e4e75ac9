"""The table of values over a real connection: what goes there comes back, or is refused."""

from __future__ import annotations

import datetime as dt
import math
import struct
from typing import Any

import pytest

from python_worker.codec.depth import MAX_DEPTH
from python_worker.generated.vllm_bridge.v1 import messages_pb2 as pb
from tests.python.support.client import Client, Failed
from tests.python.support.values import AWARE, DATE, NAIVE, TIME, Ref, Text

ROUND_TRIPS: list[Any] = [
    None,
    True,
    False,
    *[0, 1, -1, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1, 2**64, -(2**63) - 1, -(2**200)],
    *[0.1, -0.0, 5.0e-324, 1.7976931348623157e308, math.inf, -math.inf],
    *["", "nul \0", "e\u0301", "\U0001f642\u200d", "x" * 100_000],
    *[b"", bytes(range(256)), bytes(10_000_000)],
    *[[], (), {}, set(), [[]], ((),), {"a": {}}],
    (1, ("two", ()), [3]),
    {1, (2, "x"), None},
    {1: "int", (1, 2): "tuple", None: "none", "s": "str", 1.5: "float", b"b": "bytes"},
    [2**64, {"deep": [2**200, (-(2**70),)]}],
]


@pytest.mark.parametrize("method", ["echo", "echo_sync"])
@pytest.mark.parametrize("value", ROUND_TRIPS, ids=lambda value: repr(value)[:40])
async def test_values_come_back_equal(value: Any, method: str, client: Client, engine: Ref) -> None:
    back = await client.call(engine, method, value)
    assert back == value
    assert type(back) is type(value)
    if isinstance(value, float):
        assert math.copysign(1, back) == math.copysign(1, value)


async def test_numbers(client: Client, engine: Ref) -> None:
    assert math.isnan(await client.call(engine, "make", "nan"))
    assert math.isnan(await client.call(engine, "echo", math.nan))
    assert await client.call(engine, "make", "inf") == math.inf
    assert await client.call(engine, "make", "minus_inf") == -math.inf
    assert math.copysign(1, await client.call(engine, "make", "minus_zero")) == -1
    big = [2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1, 2**64, -(2**63), -(2**200)]
    assert await client.call(engine, "make", "big_ints") == big


async def test_texts_and_bytes(client: Client, engine: Ref) -> None:
    assert await client.call(engine, "make", "bytes") == bytes(range(256))
    assert await client.call(engine, "make", "ten_megabytes") == bytes(10_000_000)
    assert (
        await client.call(engine, "make", "text") == "nul \0, e\u0301, \U0001f642\u200d\U0001f680"
    )
    assert await client.call(engine, "make", "surrogate") == "a\ufffdb"
    strings = await client.call(engine, "make", "distinct_strings")
    assert (len(strings), strings[-1]) == (100_000, "distinct-99999")


async def test_containers(client: Client, engine: Ref) -> None:
    assert await client.call(engine, "make", "tuple") == (1, ("two", ()), [3])
    assert await client.call(engine, "make", "set") == {1, 2, 3}
    assert await client.call(engine, "make", "frozenset") == {"a"}
    keys = await client.call(engine, "make", "odd_keys")
    assert keys == {1: "int", (1, 2): "tuple", None: "none", "s": "str", 1.5: "float"}
    assert await client.call(engine, "make", "empty") == [[], (), {}, set(), "", b""]


async def test_times(client: Client, engine: Ref) -> None:
    aware = await client.call(engine, "make", "aware")
    assert aware.code == AWARE
    zone = dt.timezone(dt.timedelta(hours=5, minutes=30))
    expected = dt.datetime(2024, 2, 29, 12, 30, 45, 123456, tzinfo=zone)
    assert dt.datetime.fromisoformat(aware.text) == expected
    assert await client.call(engine, "make", "naive") == Text(NAIVE, "2024-02-29T12:30:45.123456")
    assert await client.call(engine, "make", "date") == Text(DATE, "2024-02-29")
    assert await client.call(engine, "make", "time") == Text(TIME, "12:30:45.123456")


async def test_arrays(client: Client, engine: Ref) -> None:
    assert await client.call(engine, "make", "numpy_scalars") == [1.5, -7, True]
    array = await client.call(engine, "make", "numpy")
    assert (array.dtype, array.shape) == ("float32", (2, 3))
    assert struct.unpack("<6f", array.data) == (0, 1, 2, 3, 4, 5)
    strided = await client.call(engine, "make", "numpy_strided")
    assert (strided.dtype, strided.shape) == ("int64", (2, 4))
    assert struct.unpack("<8q", strided.data) == (3, 2, 1, 0, 11, 10, 9, 8)
    scalar = await client.call(engine, "make", "numpy_0d")
    assert (scalar.dtype, scalar.shape, struct.unpack("<d", scalar.data)) == ("float64", (), (2.5,))


async def test_bfloat16(client: Client, engine: Ref) -> None:
    pytest.importorskip("torch")
    tensor = await client.call(engine, "make", "bfloat16")
    assert (tensor.dtype, tensor.shape) == ("bfloat16", (3,))
    assert struct.unpack("<3H", tensor.data) == (0x3F80, 0xC020, 0x4050)


async def test_an_enum_is_its_class_and_member(client: Client, engine: Ref) -> None:
    assert (await client.call(engine, "make", "enum")).text == ["Colour", "RED"]


async def test_an_exception_as_a_value_is_a_failure(client: Client, engine: Ref) -> None:
    failure = await client.call(engine, "make", "exception")
    assert isinstance(failure, pb.Failure)
    assert (failure.type, failure.message) == ("builtins.ValueError", "outer")
    assert failure.cause.type == "builtins.KeyError"
    dead = await client.call(engine, "dead_error")
    assert dead.kind == pb.FAILURE_KIND_ENGINE_DEAD


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("cyclic", "list"),
        ("deep", "128"),
        ("function", "function"),
        ("class", "type"),
        ("generator", "generator"),
    ],
)
async def test_what_cannot_be_sent_is_refused_with_path_and_type(
    kind: str, words: str, client: Client, engine: Ref
) -> None:
    with pytest.raises(Failed) as caught:
        await client.call(engine, "make", kind)
    assert words in caught.value.failure.message
    assert "value" in caught.value.failure.message, "the path"
    assert caught.value.failure.type == "python_worker.exceptions.EncodeError"
    assert await client.call(engine, "echo", 1) == 1


async def test_a_refused_value_leaves_no_references_behind(client: Client, engine: Ref) -> None:
    before = (await client.call("Worker", "status"))["references"]
    thing = await client.call(engine, "make", "object")
    with pytest.raises(Failed, match="UNSUPPORTED"):
        await client.call(engine, "make", "generator")
    await client.call("Worker", "release", thing.id)
    assert (await client.call("Worker", "status"))["references"] == before


async def test_deep_arguments_are_taken_up_to_the_limit(client: Client, engine: Ref) -> None:
    value: list[Any] = []
    # The arguments are a list too.
    for _ in range(MAX_DEPTH - 2):
        value = [value]
    assert await client.call(engine, "echo", value) == value


@pytest.mark.parametrize("wrap", [lambda it: [it], lambda it: {"k": it}], ids=["list", "map"])
@pytest.mark.parametrize("depth", [MAX_DEPTH, 300, 490, 498, 500])
async def test_deeper_arguments_are_refused_with_the_limit(
    depth: int, wrap: Any, client: Client, engine: Ref
) -> None:
    value: Any = 1
    for _ in range(depth):
        value = wrap(value)
    for call in (client.call(engine, "echo", value), client.call(engine, "echo", value=value)):
        with pytest.raises(Failed, match=f"INVALID.*more than {MAX_DEPTH} containers"):
            await call
