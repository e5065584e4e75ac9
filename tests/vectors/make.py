"""Makes the conformance vectors, which the test suites of both languages read.

Run ``python -m tests.vectors.make`` after changing a case; a unit test compares the files with what
this would write. The bytes come from the Python encoder, so a changed byte shows up in a diff, and
the Elixir suite, whose codec shares no code with it, has to read and to write the same.

values.json
    ``name``, ``way``, ``hex`` and ``value``. The way is ``both``, ``to_elixir`` or ``to_python``.
streams.json
    ``name``, ``cumulative``, and ``items`` of ``hex`` and ``value``: the items of one stream as an
    ItemEncoder sends them.
malformed.json
    ``name`` and ``hex``: what both decoders have to refuse.

Values are written in a notation that each suite builds its own terms from: null, booleans and
strings stand for themselves, all else is an object with one key that says what it is. See `build`.
"""

from __future__ import annotations

import datetime as dt
import enum
import json
import math
import struct
from pathlib import Path
from typing import Any

import msgpack

from python_worker import codec
from python_worker.codec import item_encoder, records, types

HERE = Path(__file__).parent

Notation = Any


# -- From the notation to Python ----------------------------------------------------------------


class Opaque:
    """Stands for an object that is sent as a reference."""

    def __init__(self, incarnation: str, identity: str, kind: str) -> None:
        self.parts = types.RefParts(incarnation, identity, kind)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Opaque) and self.parts == other.parts

    def __hash__(self) -> int:
        return hash(self.parts)


class Boom(Exception):
    """Stands for an exception that is sent as a value; holds its serialized Failure."""


class Stub:
    """Stands for an object of vLLM's: attributes, and the name of the class."""


def stub(name: str, **fields: object) -> object:
    """Makes an object that is sent as a class of vLLM's; fields that are not given are None."""
    cls = type(name, (Stub,), {"__bridge_record__": name})
    value = cls()
    value.__dict__.update(dict.fromkeys(records.fields_of(name)), **fields)
    return value


def build(notation: Notation) -> Any:
    """Builds the Python value of a notation."""
    if notation is None or isinstance(notation, (bool, str)):
        return notation
    ((kind, content),) = notation.items()
    match kind:
        case "int":
            return int(content)
        case "float":  # the bits
            return struct.unpack(">d", bytes.fromhex(content))[0]
        case "points":  # text by its code points, since JSON cannot hold half a surrogate pair
            return "".join(map(chr, content))
        case "bytes":
            return bytes.fromhex(content)
        case "list":
            return [build(item) for item in content]
        case "tuple":
            return tuple([build(item) for item in content])
        case "set":
            return {build(item) for item in content}
        case "map":
            return {build(key): build(item) for key, item in content}
        case "datetime" | "naive":
            return dt.datetime.fromisoformat(content)
        case "date":
            return dt.date.fromisoformat(content)
        case "time":
            return dt.time.fromisoformat(content)
        case "tensor":
            return _tensor(*content)
        case "enum":
            make_enum: Any = enum.Enum
            return make_enum(content[0], [content[1]])[content[1]]
        case "ref":
            return Opaque(*content)
        case "failure":
            return Boom(bytes.fromhex(content))
        case "struct":
            name, fields = content
            return stub(name, **{field: build(item) for field, item in fields.items()})
        case "record":  # a struct of Elixir's, with the fields that are not the defaults
            name, fields = content
            return types.Record(name, {field: build(item) for field, item in fields.items()})
    raise ValueError(kind)


def _tensor(dtype: str, shape: list[int], data: str) -> object:
    import torch  # noqa: F401  # arrays are built as torch's where it has been imported

    from python_worker.codec import tensors

    return tensors.to_array(dtype, shape, bytes.fromhex(data))


def encode(value: object) -> bytes:
    """Encodes with references and exceptions as `build` makes them."""
    return codec.encode(value, register=register, failure_bytes=lambda error: error.args[0])


def register(value: object) -> types.RefParts:
    """Registers an `Opaque` under the name it carries."""
    assert isinstance(value, Opaque)
    return value.parts


# -- Values -------------------------------------------------------------------------------------


def _int(value: int) -> Notation:
    return {"int": str(value)}


def _float(value: float) -> Notation:
    return {"float": struct.pack(">d", value).hex()}


def _ints(*values: int) -> list[Notation]:
    return [_int(value) for value in values]


INTS = [
    *(0, 1, -1, 127, 128, 255, 256, 65535, 65536, 2**31, 2**32 - 1, 2**32, 2**53 + 1),
    *(2**63 - 1, 2**63, 2**64 - 1, 2**64, 2**127, 2**200, 10**40),
    *(-32, -33, -128, -129, -32768, -32769, -(2**31), -(2**31) - 1, -(2**63)),
    *(-(2**63) - 1, -(2**64), -(2**200)),
]
FLOATS = {
    "zero": 0.0,
    "minus zero": -0.0,
    "one and a half": 1.5,
    "smallest": 5.0e-324,
    "largest": 1.7976931348623157e308,
    "tenth": 0.1,
    "nan": float("nan"),
    "inf": float("inf"),
    "minus inf": float("-inf"),
}
TEXTS = {
    "empty": "",
    "NUL": "a\0b",
    "emoji": "👩‍👩‍👧‍👦",
    "combining": "e\u0301 \u1100\u1161",
    "noncharacters": "\ufffe\uffff\U0010ffff",
    "31 bytes": "a" * 31,
    "32 bytes": "a" * 32,
    "255 bytes": "é" * 127 + "a",
    "256 bytes": "é" * 128,
}
CONTAINERS: dict[str, Notation] = {
    "empty list": {"list": []},
    "empty tuple": {"tuple": []},
    "empty set": {"set": []},
    "empty map": {"map": []},
    "empty in empty": {"list": [{"tuple": []}, {"list": []}, {"map": []}, {"set": []}]},
    "tuple in set": {"set": [{"tuple": _ints(1, 2)}]},
    "16 items": {"list": _ints(*range(16))},
    "many token ids": {"list": _ints(*(n**4 for n in range(40)), 0, 2**32 - 1)},
    "many token ids, and what is none": {
        "list": [
            *_ints(*range(40), 2**32, -1),
            "text",
            *_ints(*range(200, 240)),
            {"list": _ints(*range(300, 340))},
        ]
    },
    "16 keys": {"map": [[_int(n), None] for n in range(16)]},
    "keys of all kinds": {
        # In Elixir's order, in which it writes small maps.
        "map": [
            [_int(-1), "int"],
            [_int(2**70), "big"],
            [_float(2.5), "float"],
            [None, "nil"],
            [{"tuple": []}, "tuple"],
            [{"tuple": [_int(1), "a"]}, "tuple of two"],
            ["", "empty"],
            ["text", "text"],
        ]
    },
    "true as a key": {"map": [[True, _int(1)]]},
    "float key with an integer's value": {"map": [[_float(1.0), _int(1)]]},
    "nested": {"list": [{"map": [["a", {"tuple": [None, True, {"list": _ints(2**64)}]}]]}]},
}
TENSORS: dict[str, Notation] = {
    "float32": {"tensor": ["float32", [2, 2], "0000803f0000004000004040000080ff"]},
    "scalar": {"tensor": ["float64", [], "000000000000f87f"]},
    "empty": {"tensor": ["int64", [0, 3], ""]},
    "bool": {"tensor": ["bool", [3], "010001"]},
    "bfloat16": {"tensor": ["bfloat16", [3], "803fc0bf807f"]},
    "float16": {"tensor": ["float16", [2], "003c007c"]},
    "uint8": {"tensor": ["uint8", [1, 1, 2], "00ff"]},
    "int32": {"tensor": ["int32", [2], "ffffffff00000080"]},
    "complex64": {"tensor": ["complex64", [1], "0000803f000000c0"]},
}
LOGPROB: Notation = {
    "struct": ["Logprob", {"logprob": _float(-1.5), "rank": _int(1), "decoded_token": " a"}]
}
TO_ELIXIR: dict[str, Notation] = {
    "lone surrogates": {"points": [0x61, 0xD800, 0xDFFF, 0x62]},
    "bytes": {"bytes": bytes(range(256)).hex()},
    "aware datetime, whole second": {"datetime": "2024-02-29T12:00:00+00:00"},
    "aware datetime, offset": {"datetime": "2024-02-29T12:00:00.000001-03:30"},
    "known enum": {"enum": ["RequestOutputKind", "DELTA"]},
    "unknown enum": {"enum": ["Colour", "RED"]},
    "logprob": LOGPROB,
    "logprob of minus infinity": {"struct": ["Logprob", {"logprob": _float(float("-inf"))}]},
    "reference": {"ref": ["ab" * 16, "cd" * 16, "transformers.tokenizer"]},
    "pooling output": {
        "struct": [
            "PoolingRequestOutput",
            {
                "request_id": "r",
                "outputs": {"struct": ["PoolingOutput", {"data": TENSORS["float32"]}]},
                "prompt_token_ids": {"list": _ints(1, 2)},
                "num_cached_tokens": _int(0),
                "finished": True,
            },
        ]
    },
    # A Failure of the kind PYTHON with a message and a type.
    "exception": {"failure": "080d1204626f6f6d1a136275696c74696e732e56616c75654572726f72"},
}


def _extension(code: int, content: object) -> str:
    """Returns the bytes, as hex, of an extension type around MessagePack."""
    return str(msgpack.packb(msgpack.ExtType(code, msgpack.packb(content))).hex())


TO_PYTHON: dict[str, tuple[str, Notation]] = {
    "bytes": ("c403ff0061", {"bytes": "ff0061"}),
    "struct": (
        _extension(11, ["SamplingParams", {"max_tokens": 20}]),
        {"record": ["SamplingParams", {"max_tokens": _int(20)}]},
    ),
    "struct of defaults": (
        _extension(11, ["SamplingParams", {}]),
        {"record": ["SamplingParams", {}]},
    ),
    "reference": (_extension(10, ["ab", "cd", "T"]), {"ref": ["ab", "cd", "T"]}),
    "logprob": (
        _extension(14, [-1.5, 1, "a"]),
        {"record": ["Logprob", {"logprob": _float(-1.5), "rank": _int(1), "decoded_token": "a"}]},
    ),
}


def values() -> list[dict[str, Notation]]:
    """Returns the contents of values.json."""
    both: dict[str, Notation] = {"none": None, "true": True, "false": False}
    both |= {f"int {value}": _int(value) for value in INTS}
    both |= {f"float {name}": _float(value) for name, value in FLOATS.items()}
    both |= {f"text {name}": value for name, value in TEXTS.items()}
    both |= CONTAINERS
    both |= {f"tensor {name}": value for name, value in TENSORS.items()}
    both |= {
        "aware datetime": {"datetime": "1999-12-31T23:59:59.999999+00:00"},
        "naive datetime": {"naive": "0001-01-01T00:00:00.000001"},
        "date": {"date": "9999-12-31"},
        "time": {"time": "23:59:59.123456"},
    }
    made = [
        {"name": name, "way": way, "hex": encode(build(value)).hex(), "value": value}
        for way, cases in (("both", both), ("to_elixir", TO_ELIXIR))
        for name, value in cases.items()
    ]
    return made + [
        {"name": name, "way": "to_python", "hex": data, "value": value}
        for name, (data, value) in TO_PYTHON.items()
    ]


# -- Streams ------------------------------------------------------------------------------------


def _completion(index: int, text: str, ids: list[int], **others: Notation) -> Notation:
    fields = {"index": _int(index), "text": text, "token_ids": {"list": _ints(*ids)}}
    return {"struct": ["CompletionOutput", fields | others]}


def _item(*completions: Notation, finished: bool = False, **others: Notation) -> Notation:
    fields: dict[str, Notation] = {
        "request_id": "r-1",
        "prompt": "Once",
        "prompt_token_ids": {"list": _ints(1, 2, 3)},
        "num_cached_tokens": _int(0),
        "outputs": {"list": list(completions)},
        "finished": finished,
    }
    return {"struct": ["RequestOutput", fields | others]}


def _metrics(tokens: int, last: float) -> Notation:
    fields = {
        "num_generation_tokens": _int(tokens),
        "arrival_time": _float(1.7e9),
        "last_token_ts": _float(last),
        "is_corrupted": False,
    }
    return {"struct": ["RequestStateStats", fields]}


def _logprobs(*tokens: int) -> Notation:
    return {"list": [{"map": [[_int(token), LOGPROB]]} for token in tokens]}


STREAMS: dict[str, tuple[bool, list[Notation]]] = {
    "deltas": (
        False,
        [
            _item(_completion(0, "Once", [5])),
            _item(_completion(0, " upon", [6, 7])),
            _item(_completion(0, "", [])),
            _item(
                _completion(0, ".", [8], finish_reason="stop", stop_reason=_int(8)), finished=True
            ),
        ],
    ),
    "deltas with logprobs and metrics": (
        False,
        [
            _item(
                _completion(0, "a", [5], logprobs=_logprobs(5), cumulative_logprob=_float(-1.5)),
                metrics=_metrics(1, 10.0),
                prompt_logprobs={"list": [None, {"map": [[_int(2), LOGPROB]]}]},
            ),
            _item(
                _completion(
                    0, "b", [6, 7], logprobs=_logprobs(6, 7), cumulative_logprob=_float(-3.0)
                ),
                metrics=_metrics(3, 10.5),
            ),
            _item(_completion(0, "", [8], cumulative_logprob=_float(-3.0)), metrics=None),
            _item(
                _completion(0, "c", [9], finish_reason="length"),
                metrics=_metrics(5, 11.0),
                finished=True,
            ),
        ],
    ),
    "metrics of every token": (
        False,
        [
            _item(_completion(0, "t", [n]), metrics=_metrics(n, last))
            for n, last in [
                (1, 1.0),
                (2, 1.5),
                (0x7F, 2.0),
                (0x80, 2.5),
                (0xFF, 3.0),
                (0x100, math.inf),
                (0x101, 3.5),
                (0xFFFF, 4.0),
                (0x10000, 4.5),
                (0x10001, 4.5),
                (0x10002, 5.0),
                (0x10002, 5.5),
                (0x10003, 6.0),
            ]
        ],
    ),
    "metrics of every token, cumulative": (
        True,
        [
            _item(_completion(0, "t" * n, list(range(n))), metrics=_metrics(n, 0.5 * n))
            for n in range(1, 6)
        ],
    ),
    "cumulative": (
        True,
        [
            _item(_completion(0, "Once", [5])),
            _item(_completion(0, "Once upon", [5, 6])),
            _item(_completion(0, "Once upon", [5, 6])),
            _item(
                _completion(0, "Once upon é", [5, 6, 7, 8], finish_reason="length"), finished=True
            ),
        ],
    ),
    "cumulative with logprobs": (
        True,
        [
            _item(_completion(0, "a", [5], logprobs=_logprobs(5))),
            _item(_completion(0, "ab", [5, 6], logprobs=_logprobs(5, 6))),
            _item(_completion(0, "ab", [5, 6], logprobs=_logprobs(5, 6))),
            _item(_completion(0, "abc", [5, 6, 7], logprobs=_logprobs(5, 6, 7)), finished=True),
        ],
    ),
    "two completions in turns": (
        True,
        [
            _item(_completion(0, "a", [5])),
            _item(_completion(1, "x", [9])),
            _item(_completion(1, "xy", [9, 8]), _completion(0, "ab", [5, 6])),
            _item(_completion(0, "abc", [5, 6, 7], finish_reason="stop", stop_reason="c")),
            _item(_completion(1, "xyz", [9, 8, 7], finish_reason="length"), finished=True),
        ],
    ),
    "cumulative that begins again": (
        True,
        [
            _item(_completion(0, "a long beginning", [5, 6, 7])),
            _item(_completion(0, "another", [8])),
            _item(_completion(0, "another one", [8, 9])),
        ],
    ),
    "streamed input": (
        False,
        [
            _item(_completion(0, "a", [5])),
            _item(
                _completion(0, "b", [6]),
                prompt="Once upon",
                prompt_token_ids={"list": _ints(1, 2, 3, 4)},
            ),
            _item(
                _completion(0, "c", [7], finish_reason="stop"),
                prompt="Once upon",
                prompt_token_ids={"list": _ints(1, 2, 3, 4)},
                kv_transfer_params={"map": [["block", _int(7)]]},
                finished=True,
            ),
        ],
    ),
    "what comes with the last item": (
        False,
        [
            _item(_completion(0, "a", [5])),
            _item(
                _completion(
                    0,
                    "b",
                    [6],
                    finish_reason="abort",
                    routed_experts=TENSORS["int32"],
                    weight_versions={
                        "list": [
                            {
                                "struct": [
                                    "WeightVersionSpan",
                                    {"version": "v1", "start": _int(0), "end": _int(2)},
                                ]
                            }
                        ]
                    },
                ),
                finished=True,
            ),
        ],
    ),
    "another request": (
        False,
        [_item(_completion(0, "a", [5])), _item(_completion(0, "b", [6]), request_id="r-2")],
    ),
    "plain values": (False, [_int(1), "two", {"list": []}]),
}


def streams() -> list[dict[str, Notation]]:
    """Returns the contents of streams.json."""
    made = []
    for name, (cumulative, items) in STREAMS.items():
        encoder = item_encoder.ItemEncoder(cumulative=cumulative)
        classes: dict[str, type] = {}
        entries = []
        for item in items:
            value = share_classes(build(item), classes)
            entries.append({"hex": encoder.encode(value).hex(), "value": item})
        made.append({"name": name, "cumulative": cumulative, "items": entries})
    return made


def share_classes(value: Any, classes: dict[str, type]) -> Any:
    """Gives all stubs of one name one class, as the objects of a real stream have."""
    if isinstance(value, Stub):
        name = type(value).__name__
        value.__class__ = classes.setdefault(name, type(value))
        for part in vars(value).values():
            share_classes(part, classes)
    elif isinstance(value, list):
        for part in value:
            share_classes(part, classes)
    return value


# -- What both decoders refuse ------------------------------------------------------------------

MALFORMED = {
    "nothing": "",
    "two values": "c0c0",
    "truncated integer": "cdff",
    "truncated text": "a5616263",
    "truncated list": "9301",
    "truncated map": "8101",
    "text that claims 2 GiB": "db7fffffff61",
    "bytes that claim 4 GiB": "c6ffffffff61",
    "list that claims 2 billion": "dd7fffffff01",
    "map that claims 4 billion": "dfffffffff01",
    "extension that claims 4 GiB": "c9ffffffff0161",
    "byte without a meaning": "c1",
    "unknown extension": "d46300",
    "tuple that is no array": _extension(1, None),
    "tuple with a rest": "d50190c0",
    "set that is no array": _extension(2, {}),
    "datetime that is none": "d80461626364616263646162636461626364",
    "naive datetime that is none": "d405ff",
    "date that is none": "c7060632303234" + "2d31",
    "time that is none": "d40761",
    "tensor without data": _extension(8, []),
    "tensor of too few bytes": _extension(8, ["float32", [1], b"\0"]),
    "tensor of an unknown dtype": _extension(8, ["float9", [0], b""]),
    "tensor with a negative extent": _extension(8, ["bool", [-1], b""]),
    "tensor with an extent of true": _extension(8, ["bool", [True], b"\0"]),
    "reference without parts": _extension(10, []),
    "reference of numbers": _extension(10, [1, 2, 3]),
    "struct without parts": _extension(11, []),
    "struct with a list for fields": _extension(11, ["SamplingParams", []]),
    "logprob without parts": _extension(14, []),
    "position without its lists": _extension(16, [[1], [], []]),
    "position of numbers": _extension(16, [1, 2, 3, 4]),
    "position of unequal lists": _extension(16, [[1, 2], [-1.0], [1], ["a"]]),
    "patch outside of a stream": _extension(13, [0, False, [], None]),
    "lists without end": "91" * 5000,
    "maps without end": "81c0" * 5000,
    "lists that claim billions": "dd7fffffff" * 2000,
}


def malformed() -> list[dict[str, str]]:
    """Returns the contents of malformed.json."""
    bomb = b"\x90"
    for _ in range(2000):
        bomb = b"\xc9" + len(bomb).to_bytes(4, "big") + b"\x01" + bomb
    cases = MALFORMED | {"tuples without end": bomb.hex()}
    return [{"name": name, "hex": data} for name, data in cases.items()]


FILES = {"values.json": values, "streams.json": streams, "malformed.json": malformed}


def text(name: str) -> str:
    """Returns what the file of that name is to contain."""
    # One vector to a line.
    lines = [json.dumps(entry, ensure_ascii=True) for entry in FILES[name]()]
    return "[\n" + ",\n".join(lines) + "\n]\n"


if __name__ == "__main__":
    for file in FILES:
        (HERE / file).write_text(text(file))
