"""The table of values, in the order in which `python_worker.codec` lists it."""

from __future__ import annotations

import asyncio
import collections
import datetime as dt
import enum
import json
import math
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest
import torch

from python_worker import codec, exceptions
from python_worker.codec import records, tensors, types
from tests.vectors import make

VECTORS = Path(make.__file__).parent

# Every edge of MessagePack's integer formats, and beyond 64 bits.
INTS = make.INTS
FLOATS = list(make.FLOATS.values())
SIZES = [0, 1, 15, 16, 31, 32, 255, 256, 65535, 65536]


def round_trip(value: object) -> Any:
    return codec.decode(codec.encode(value))


def same(left: Any, right: Any) -> bool:
    """Equality that keeps types apart, and that not-a-number has with itself."""
    if type(left) is not type(right):
        return False
    if isinstance(left, float):
        return struct.pack(">d", left) == struct.pack(">d", right)
    if isinstance(left, torch.Tensor):
        return (
            left.dtype == right.dtype
            and left.shape == right.shape
            and codec.encode(left) == codec.encode(right)
        )
    if isinstance(left, (list, tuple)):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict):
        return same(list(left.items()), list(right.items()))
    if isinstance(left, types.Record):
        return left.name == right.name and same(left.fields, right.fields)
    return bool(left == right)


# -- Vectors ------------------------------------------------------------------------------------


def vectors(name: str) -> list[Any]:
    return [
        pytest.param(entry, id=entry["name"]) for entry in json.loads((VECTORS / name).read_text())
    ]


@pytest.mark.parametrize("name", list(make.FILES))
def test_the_vectors_are_what_the_script_makes(name: str) -> None:
    assert (VECTORS / name).read_text() == make.text(name), "run python -m tests.vectors.make"


@pytest.mark.parametrize("entry", vectors("values.json"))
def test_vector(entry: dict[str, Any]) -> None:
    if entry["way"] != "to_python":
        assert make.encode(make.build(entry["value"])).hex() == entry["hex"]
    if entry["way"] != "to_elixir":
        decoded = codec.decode(
            bytes.fromhex(entry["hex"]),
            resolve=lambda incarnation, identity: make.Opaque(incarnation, identity, "T"),
        )
        assert same(decoded, make.build(entry["value"]))


@pytest.mark.parametrize("entry", vectors("malformed.json"))
def test_malformed_input_is_refused(entry: dict[str, str]) -> None:
    with pytest.raises(exceptions.DecodeError):
        codec.decode(bytes.fromhex(entry["hex"]))


# -- Numbers ------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [None, True, False, *INTS, *FLOATS])
def test_numbers_keep_type_and_bits(value: object) -> None:
    assert same(round_trip(value), value)
    assert same(round_trip([{"x": (value,)}]), [{"x": (value,)}])


@pytest.mark.parametrize("bits", range(1, 130))
def test_integers_around_each_power_of_two(bits: int) -> None:
    for near in (-1, 0, 1):
        assert round_trip(2**bits + near) == 2**bits + near
        assert round_trip(-(2**bits) + near) == -(2**bits) + near


def test_numpy_scalars_become_plain_numbers() -> None:
    assert same(round_trip(np.float32(1.5)), 1.5)
    assert same(round_trip(np.float64(1.5)), 1.5)
    assert same(round_trip(np.int8(-3)), -3)
    assert same(round_trip(np.uint64(2**64 - 1)), 2**64 - 1)
    assert same(round_trip(np.bool_(True)), True)
    assert same(round_trip(np.str_("text")), "text")
    with pytest.raises(exceptions.EncodeError, match="float64"):
        codec.encode(np.longdouble(1))


def test_subclasses_are_sent_as_what_they_extend() -> None:
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


# -- Text and bytes -----------------------------------------------------------------------------


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


# -- Containers ---------------------------------------------------------------------------------


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


def test_a_list_as_a_key_is_refused() -> None:
    with pytest.raises(exceptions.DecodeError, match="unhashable"):
        codec.decode(b"\x81\x90\x01")


# -- Times --------------------------------------------------------------------------------------


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


def test_a_time_of_day_with_a_zone_is_refused() -> None:
    with pytest.raises(exceptions.EncodeError, match=r"value\[0\]: a time of day"):
        codec.encode([dt.time(1, tzinfo=dt.UTC)])


def test_messagepacks_own_timestamp_is_read() -> None:
    moment = dt.datetime(2024, 2, 29, tzinfo=dt.UTC)
    assert codec.decode(msgpack.packb(moment, datetime=True)) == moment


# -- Arrays -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "dtype",
    list(tensors.ITEM_SIZES),
)
def test_torch_tensors_of_every_dtype(dtype: str) -> None:
    base = torch.arange(24, dtype=torch.float32).reshape(2, 3, 4).to(getattr(torch, dtype))
    for tensor in (base, base.transpose(0, 2), base[:, 1:, ::2], base[0, 0, 1], base[:0]):
        back = round_trip(tensor)
        assert back.dtype == tensor.dtype
        assert back.shape == tensor.shape
        assert back.tolist() == tensor.tolist() if "float8" not in dtype else True


def test_torch_tensors_that_are_not_plain() -> None:
    grown = torch.tensor([1.5], requires_grad=True)
    assert round_trip(grown).tolist() == [1.5]
    assert round_trip(torch.nn.Parameter(torch.ones(2))).tolist() == [1, 1]
    assert round_trip(torch.eye(2).to_sparse()).tolist() == [[1, 0], [0, 1]]
    assert round_trip(torch.tensor([1 + 2j]).conj()).tolist() == [1 - 2j]
    with pytest.raises(exceptions.EncodeError, match="Tensor cannot be sent"):
        codec.encode(torch.ones(2, device="meta"))


def test_numpy_arrays() -> None:
    base = np.arange(24, dtype=np.int32).reshape(2, 3, 4)
    for array in (base, base.T, base[:, ::2], np.array(3.5), base[:0], base.astype(">i8")):
        back = round_trip(array)
        assert tuple(back.shape) == array.shape
        assert back.tolist() == array.tolist()


def test_arrays_of_anything_but_numbers_are_sent_as_lists() -> None:
    assert round_trip(np.array([["a", "b"]])) == [["a", "b"]]
    assert round_trip(np.array([None, (1,)], dtype=object)) == [None, (1,)]


def test_without_torch_arrays_are_numpys(monkeypatch: pytest.MonkeyPatch) -> None:
    data = codec.encode(np.array([[1.5, 2.5]], dtype=np.float32))
    brain = codec.encode(torch.ones(1, dtype=torch.bfloat16))
    monkeypatch.delitem(__import__("sys").modules, "torch")
    back: Any = codec.decode(data)
    assert isinstance(back, np.ndarray)
    assert back.dtype == np.float32
    back[0, 0] = 9  # it owns its memory
    with pytest.raises(exceptions.DecodeError, match="numpy alone cannot hold"):
        codec.decode(brain)


# -- Enums, records, references, exceptions -----------------------------------------------------


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


@dataclass
class Plain:
    x: int = 1


def test_records_are_found_by_name_by_ancestor_and_by_declaration() -> None:
    lora = type("LoRARequest", (), {"__module__": "vllm.lora.request"})
    child = type("Child", (lora,), {})
    for cls in (lora, child):
        value = cls()
        value.__dict__.update(lora_name="a", lora_int_id=1)  # the other fields are missing
        record = codec.decode(codec.encode(value))
        assert record == types.Record("LoRARequest", {"lora_name": "a", "lora_int_id": 1})

    class Declared:
        __bridge_record__ = ("Report", ("x",))
        x = (1,)

    assert round_trip(Declared()) == types.Record("Report", {"x": (1,)})


def test_a_logprob_is_an_extension_of_its_own() -> None:
    logprob = make.stub("Logprob", logprob=-math.inf, rank=None, decoded_token="a")
    fields: dict[str, object] = {"logprob": -math.inf, "rank": None, "decoded_token": "a"}
    assert round_trip(logprob) == types.Record("Logprob", fields)


def test_the_table_of_records_is_the_manifests() -> None:
    path = Path(codec.__file__).parents[1] / "generated/manifest.json"
    classes = json.loads(path.read_text())["classes"]
    for qualified, (name, fields) in records.RECORDS.items():
        if name in classes:
            assert classes[name]["qualname"] == qualified
            assert {field["name"] for field in classes[name]["fields"]} == set(fields), name


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


def test_what_register_and_resolve_raise_passes_through() -> None:
    def full(_value: object) -> types.RefParts:
        raise ValueError("full")

    def gone(_incarnation: str, _identity: str) -> object:
        raise ValueError("gone")

    with pytest.raises(ValueError, match="full"):
        codec.encode([object()], register=full)
    data = make.encode((make.Opaque("a", "b", "c"),))
    with pytest.raises(ValueError, match="gone"):
        codec.decode(data, resolve=gone)


def test_exceptions_travel_where_a_hook_makes_failures_of_them() -> None:
    data = codec.encode([ValueError("boom")], failure_bytes=lambda error: str(error).encode())
    assert data == b"\x91" + b"\xd6\x0cboom"


# -- Refusals -----------------------------------------------------------------------------------


def iter_nothing() -> Iterator[None]:
    yield None


async def _coroutine() -> None:
    """Never run."""


def _cyclic_list() -> object:
    value: list[object] = [1]
    value.append({"again": (value,)})
    return value


def _cyclic_record() -> object:
    value = make.stub("PoolingOutput")
    value.__dict__["data"] = [value]
    return value


def _deep(depth: int, wrap: Callable[[object], object]) -> object:
    value: object = 1
    for _ in range(depth):
        value = wrap(value)
    return value


@pytest.mark.parametrize(
    ("value", "path", "message"),
    [
        ({"a": [1, len]}, "value['a'][1]", "builtin_function_or_method"),
        ((_coroutine,), "value[0]", "function"),
        ([asyncio], "value[0]", "module"),
        ({1: int}, "value[1]", "type"),
        ([0, 1, iter_nothing()], "value[2]", "generator"),
        (make.stub("RequestOutput", outputs=[object()]), "value.outputs[0]", "object"),
        ({"k": Plain()}, "value['k']", "Plain"),
        ([ValueError("x")], "value[0]", "ValueError"),
        ({Plain: 1}, "value key <type>", "type"),
        (_cyclic_list(), "value[1]['again'][0]", "contains itself"),
        (_cyclic_record(), "value.data[0]", "contains itself"),
    ],
)
def test_what_cannot_be_sent_is_named_with_its_path(value: Any, path: str, message: str) -> None:
    with pytest.raises(exceptions.EncodeError, match="cannot be sent") as caught:
        codec.encode(value)
    assert caught.value.path == path
    assert message in caught.value.message
    assert str(caught.value) == f"{path}: {caught.value.message}"


@pytest.mark.parametrize(
    "wrap",
    [
        lambda value: [value],
        lambda value: {"k": value},
        lambda value: (value,),
        lambda value: [(value,)],
        lambda value: make.stub("PoolingOutput", data=value),
    ],
    ids=["list", "dict", "tuple", "list of tuple", "record"],
)
def test_depth(wrap: Callable[[object], object]) -> None:
    assert codec.encode(_deep(100, wrap))
    with pytest.raises(exceptions.EncodeError, match="nested in more than") as caught:
        codec.encode(_deep(2000, wrap))
    assert len(caught.value.path) < 250


def test_what_is_not_too_deep_to_encode_is_not_too_deep_to_decode() -> None:
    value = _deep(249, lambda inner: (inner,))
    assert codec.decode(codec.encode(value)) == value


def test_an_encoder_goes_on_after_a_refusal() -> None:
    encoder = codec.Encoder()
    for _ in range(3):
        with pytest.raises(exceptions.EncodeError):
            encoder.encode([1, (2, {3: object()})])
        assert encoder.encode((1,)) == codec.encode((1,))
