"""The wire's values for a test client, written from the contract and not from the codec.

A second implementation on purpose: what the worker sends must be readable by anybody who has the
description. Only what tests need is here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgpack

from python_worker.generated.vllm_bridge.v1 import messages_pb2 as pb

TUPLE, SET, BIGINT, AWARE, NAIVE, DATE, TIME, TENSOR = range(1, 9)
ENUM, REF, RECORD, FAILURE, PATCH, LOGPROB = range(9, 15)


@dataclass(frozen=True)
class Ref:
    """A reference."""

    incarnation: str
    id: str
    type: str


@dataclass
class Record:
    """An object of a known class, by its fields."""

    name: str
    fields: dict[str, Any]

    def __getattr__(self, name: str) -> Any:
        try:
            return self.fields[name]
        except KeyError:
            raise AttributeError(name) from None


def references_in(value: object) -> Iterator[str]:
    """Yields the id of each reference in a decoded value, as often as it occurs."""
    if isinstance(value, Ref):
        yield value.id
    elif isinstance(value, Record):
        yield from references_in(value.fields)
    elif isinstance(value, dict):
        yield from references_in([*value, *value.values()])
    elif isinstance(value, list | tuple | set | frozenset):
        for part in value:
            yield from references_in(part)


@dataclass(frozen=True)
class Tensor:
    """An array, its numbers as bytes."""

    dtype: str
    shape: tuple[int, ...]
    data: bytes


@dataclass(frozen=True)
class Text:
    """What this client leaves as text: times and enum members."""

    code: int
    text: Any


@dataclass(frozen=True)
class Patch:
    """A stream item as a difference from the one before."""

    mode: int
    finished: bool
    completions: list[list[Any]]
    changes: dict[str, Any] | None


def encode(value: object) -> bytes:
    """Returns the bytes of a value."""
    data: bytes = msgpack.packb(value, default=_extend, strict_types=True)
    return data


def decode(data: bytes) -> Any:
    """Returns the value of the bytes."""
    return msgpack.unpackb(data, ext_hook=_read, strict_map_key=False)


def _extend(value: object) -> msgpack.ExtType:
    if isinstance(value, Ref):
        return msgpack.ExtType(REF, encode([value.incarnation, value.id, value.type]))
    if isinstance(value, Record):
        return msgpack.ExtType(RECORD, encode([value.name, value.fields]))
    if isinstance(value, tuple):
        return msgpack.ExtType(TUPLE, encode(list(value)))
    if isinstance(value, Tensor):
        return msgpack.ExtType(TENSOR, encode([value.dtype, list(value.shape), value.data]))
    if isinstance(value, (set, frozenset)):
        return msgpack.ExtType(SET, encode(list(value)))
    if isinstance(value, int):
        size = value.bit_length() // 8 + 1
        return msgpack.ExtType(BIGINT, value.to_bytes(size, "big", signed=True))
    raise TypeError(f"this client cannot send {value!r}")


def _read(code: int, data: bytes) -> Any:
    match code:
        case 1:
            return tuple(decode(data))
        case 2:
            return set(decode(data))
        case 3:
            return int.from_bytes(data, "big", signed=True)
        case 4 | 5 | 6 | 7:
            return Text(code, data.decode())
        case 8:
            dtype, shape, content = decode(data)
            return Tensor(dtype, tuple(shape), content)
        case 9:
            return Text(code, decode(data))
        case 10:
            return Ref(*decode(data))
        case 11:
            return Record(*decode(data))
        case 12:
            return pb.Failure.FromString(data)
        case 13:
            return Patch(*decode(data))
        case 14:
            return Record(
                "Logprob",
                dict(zip(("logprob", "rank", "decoded_token"), decode(data), strict=True)),
            )
        case 16:
            ids, *columns = decode(data)
            names = ("logprob", "rank", "decoded_token")
            entries = zip(*columns, strict=True)
            values = [Record("Logprob", dict(zip(names, each, strict=True))) for each in entries]
            return dict(zip(ids, values, strict=True))
    raise ValueError(f"unknown extension {code}")


class Items:
    """Puts the items of one stream together again."""

    def __init__(self) -> None:
        self._item: Record | None = None
        self._completions: dict[int, dict[str, Any]] = {}

    def apply(self, data: bytes) -> Any:
        """Returns the item that came."""
        value = decode(data)
        if isinstance(value, Patch):
            return self._patch(value)
        if isinstance(value, Record) and value.name == "RequestOutput":
            self._item = value
            self._completions = {
                output.fields["index"]: output.fields for output in value.fields["outputs"]
            }
        return value

    def _patch(self, patch: Patch) -> Record:
        assert self._item is not None, "a patch came before a whole item"
        fields = {**self._item.fields, "finished": patch.finished}
        changes = dict(patch.changes or {})
        metrics = changes.get("metrics")
        if isinstance(metrics, dict):
            old = fields["metrics"]
            changes["metrics"] = Record(old.name, {**old.fields, **metrics})
        fields.update(changes)
        fields["outputs"] = [
            Record("CompletionOutput", self._completion(patch.mode, *completion))
            for completion in patch.completions
        ]
        self._item = Record("RequestOutput", fields)
        return self._item

    def _completion(
        self,
        mode: int,
        index: int,
        text: str,
        token_ids: list[int],
        finish_reason: str | None,
        stop_reason: object,
        more: dict[str, Any] | None,
    ) -> dict[str, Any]:
        old = self._completions.get(index, {"text": "", "token_ids": [], "logprobs": None})
        new = {**old, "index": index, "finish_reason": finish_reason, "stop_reason": stop_reason}
        more = dict(more or {})
        logprobs = more.pop("logprobs", None)
        new.update(more)
        if mode == 0:
            new.update(text=text, token_ids=token_ids, logprobs=logprobs)
        else:
            new.update(text=old["text"] + text, token_ids=[*old["token_ids"], *token_ids])
            if logprobs is not None:
                new["logprobs"] = [*(old["logprobs"] or []), *logprobs]
        self._completions[index] = new
        return new
