"""Items of streams made by hand, and the rules of a patch as plainly as they can be written."""

from __future__ import annotations

from typing import Any

import msgpack

from python_worker import codec
from python_worker.codec import records, types
from python_worker.codec.extension_types import LOGPROB, LOGPROB_COLUMNS, PATCH
from python_worker.codec.output_patch import APPEND
from tests.vectors import make

REQUEST = type("RequestOutput", (make.Stub,), {"__bridge_record__": "RequestOutput"})
COMPLETION = type("CompletionOutput", (make.Stub,), {"__bridge_record__": "CompletionOutput"})
METRICS = type("RequestStateStats", (make.Stub,), {"__bridge_record__": "RequestStateStats"})


def made(cls: type, **fields: object) -> Any:
    value = cls()
    value.__dict__.update(dict.fromkeys(records.fields_of(cls.__name__)), **fields)
    return value


def completion(index: int = 0, text: str = "", token_ids: Any = None, **others: object) -> Any:
    return made(COMPLETION, index=index, text=text, token_ids=token_ids or [], **others)


def item(*completions: Any, finished: bool = False, **others: object) -> Any:
    fields = {"request_id": "r", "prompt": "p", "prompt_token_ids": PROMPT} | others
    return made(REQUEST, outputs=list(completions), finished=finished, **fields)


PROMPT = [1, 2, 3]


class Consumer:
    """The rules of a patch, as plainly as they can be written. Items are dicts of fields."""

    def __init__(self) -> None:
        self.item: dict[str, Any] = {}
        self.known: dict[int, dict[str, Any]] = {}

    def apply(self, data: bytes) -> dict[str, Any]:
        outer = msgpack.unpackb(data, strict_map_key=False)
        if outer.code != PATCH:
            self.item = plain(codec.decode(data))
            self.known = {}
        else:
            mode, finished, completions, changes = plain(codec.decode(without_columns(outer.data)))
            self.item = self.item | {
                "finished": finished,
                "outputs": [self.completion(mode, *parts) for parts in completions],
            }
            for name, value in (changes or {}).items():
                if name == "metrics" and isinstance(value, dict) and "__name__" not in value:
                    value = self.item["metrics"] | value
                self.item[name] = value
        self.known |= {output["index"]: output for output in self.item["outputs"]}
        return self.item

    def completion(
        self, mode: int, index: int, text: str, ids: Any, finish: Any, stop: Any, more: Any
    ) -> dict[str, Any]:
        blank = dict.fromkeys(records.fields_of("CompletionOutput"))
        blank |= {"__name__": "CompletionOutput", "index": index, "text": "", "token_ids": []}
        before: dict[str, Any] = self.known.get(index, blank)
        more = more or {}
        if mode == APPEND:
            text, ids = before["text"] + text, before["token_ids"] + ids
            if "logprobs" in more:
                more["logprobs"] = (before["logprobs"] or []) + more["logprobs"]
        else:
            more = {"logprobs": None} | more
        positional = {"text": text, "token_ids": ids, "finish_reason": finish, "stop_reason": stop}
        merged: dict[str, Any] = before | positional | more
        return merged


def without_columns(data: bytes) -> bytes:
    """A patch in which each position's logprobs are a dict, as in an item that is sent whole.

    A worker sends columns, and reads none.
    """

    def position(value: Any) -> Any:
        if not (isinstance(value, msgpack.ExtType) and value.code == LOGPROB_COLUMNS):
            return value
        ids, *columns = msgpack.unpackb(value.data)
        entries = [msgpack.packb(entry) for entry in zip(*columns, strict=True)]
        return {i: msgpack.ExtType(LOGPROB, e) for i, e in zip(ids, entries, strict=True)}

    parts = msgpack.unpackb(data, strict_map_key=False)
    given = [more for *_, more in parts[2] if more and more.get("logprobs")]
    if not given:
        return data
    for more in given:
        more["logprobs"] = [position(value) for value in more["logprobs"]]
    repacked: bytes = msgpack.packb(parts)
    return repacked


def plain(value: Any) -> Any:
    """Makes dicts of records, so that they can be compared and merged."""
    if isinstance(value, types.Record):
        return {"__name__": value.name} | {k: plain(v) for k, v in value.fields.items()}
    if isinstance(value, list):
        return [plain(part) for part in value]
    if isinstance(value, dict):
        return {key: plain(part) for key, part in value.items()}
    if hasattr(value, "tolist"):  # an array or a tensor, which compares to no truth
        return {"__array__": str(value.dtype), "values": value.tolist()}
    return value


def expected(value: Any) -> dict[str, Any]:
    """Returns what the consumer must have: the item as sent whole, on its own."""
    whole: dict[str, Any] = plain(codec.decode(codec.encode(value)))
    return whole


def is_patch(data: bytes) -> bool:
    outer = msgpack.unpackb(data, strict_map_key=False)
    return isinstance(outer, msgpack.ExtType) and outer.code == PATCH
