"""Values of every type and size, of which each parameter can take but few."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import msgpack

from tests.python.support.values import Record, encode


def tensor(dtype: str, shape: list[int], data: bytes) -> Any:
    """A tensor as it travels."""
    return msgpack.ExtType(8, encode([dtype, shape, data]))


def nested(depth: int, wrap: Callable[[Any], Any]) -> Any:
    """A container in a container, and so on."""
    value: Any = 1
    for _ in range(depth):
        value = wrap(value)
    return value


#: What is thrown, by a name for the report. Tensors and times are as they travel.
ODD: dict[str, Any] = {
    "None": None,
    "True": True,
    "False": False,
    "0": 0,
    "1": 1,
    "-1": -1,
    "2**31": 2**31,
    "2**63": 2**63,
    "-2**63": -(2**63),
    "2**64-1": 2**64 - 1,
    "2**64": 2**64,
    "-2**70": -(2**70),
    "10**400": 10**400,
    "0.0": 0.0,
    "1.5": 1.5,
    "-1e308": -1e308,
    "nan": math.nan,
    "inf": math.inf,
    "-inf": -math.inf,
    "''": "",
    "'x'": "x",
    "'DELTA'": "DELTA",
    "'7'": "7",
    "NUL": "a\0b",
    "huge str": "x" * 20_000,
    "emoji": "\U0001f389\u0301",
    "'../..'": "../../etc/passwd",
    "b''": b"",
    "bytes": b"\xff\x00",
    "[]": [],
    "[None]": [None],
    "[0]": [0],
    "[-1]": [-1],
    "[2**31]": [2**31],
    "[2**64]": [2**64],
    "[1.5]": [1.5],
    "[True]": [True],
    "['x']": ["x"],
    "['']": [""],
    "[[0]]": [[0]],
    "[{}]": [{}],
    "list of 100000": [5] * 100_000,
    "deep list": nested(100, lambda value: [value]),
    "()": (),
    "(0, 'x')": (0, "x"),
    "set()": set(),
    "{0}": {0},
    "{}": {},
    "{'x': 1}": {"x": 1},
    "{'x': 'y'}": {"x": "y"},
    "{0: 1.0}": {0: 1.0},
    "{-1: 1}": {-1: 1},
    "{2**31: 1}": {2**31: 1},
    "{None: nan}": {None: math.nan},
    "{1.5: []}": {1.5: []},
    "{True: {0}}": {True: {0}},
    "{'x': big}": {"x": 2**80},
    "{'x': set}": {"x": {1, "a"}},
    "{'x': time}": {"x": msgpack.ExtType(6, b"2024-01-31")},
    "{'x': tensor}": {"x": tensor("float32", [1], b"\0" * 4)},
    "{'x': record}": {"x": Record("SamplingParams", {"n": 1})},
    "{tuple: 1}": {(1, "a"): 1},
    "deep dict": nested(100, lambda value: {"x": value}),
    "{'type': 'token'}": {"type": "token"},
    "{'type': 'multimodal'}": {"type": "multimodal", "prompt_token_ids": [5]},
    "datetime": msgpack.ExtType(5, b"2024-01-31T12:00:00"),
    "date": msgpack.ExtType(6, b"2024-01-31"),
    "time": msgpack.ExtType(7, b"12:00:00"),
    "float tensor": tensor("float32", [1, 2], b"\0" * 8),
    "scalar tensor": tensor("float32", [], b"\0" * 4),
    "empty tensor": tensor("float32", [0], b""),
    "int tensor": tensor("int64", [2, 1], b"\0" * 16),
    "wide tensor": tensor("float32", [1, 1 << 16], b"\0" * (4 << 16)),
    "nan tensor": tensor("float32", [2, 2], b"\xff" * 16),
    "PoolingParams": Record("PoolingParams", {}),
    "SamplingParams": Record("SamplingParams", {}),
    "NoSuchClass": Record("NoSuchClass", {"x": 1}),
    "LoRARequest": Record("LoRARequest", {"lora_name": "x"}),
}
