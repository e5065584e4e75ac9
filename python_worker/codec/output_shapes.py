"""How the fields of an output are read, and what has been sent of each completion.

Both serve `item_encoder`, which compares an item with what went before it.
"""

from __future__ import annotations

from typing import Any, Final

from python_worker.codec import records
from python_worker.codec.metrics_patch import tuple_reader

_APART: Final = frozenset({"request_id", "outputs", "finished", "metrics"})
"""Fields of a RequestOutput that `changes` does not hold, or not as they are."""

_GROWING: Final = ("prompt_token_ids", "encoder_prompt_token_ids", "prompt_logprobs")
"""Lists that vLLM may extend in place between two items (streamed input does)."""

_ALWAYS: Final = ("kv_transfer_params", "ec_transfer_params")
"""Dicts of a connector's own: nobody says that they are not altered in place. Set on few items."""

_POSITIONAL: Final = ("index", "text", "token_ids", "finish_reason", "stop_reason", "logprobs")


class OutputShape:
    """How to read the fields of a class of outputs: made from its first object, used for all."""

    def __init__(self, item: Any, first: Any, fields: tuple[str, ...]) -> None:
        self.cls = type(item)
        self.fields = tuple(name for name in fields if name not in _APART and hasattr(item, name))
        self.growing = [place for place, name in enumerate(self.fields) if name in _GROWING]
        self.always = [place for place, name in enumerate(self.fields) if name in _ALWAYS]
        self.has_metrics = hasattr(item, "metrics")
        self.read = tuple_reader(self.fields)
        self.other_fields = tuple(
            name
            for name in records.fields_of("CompletionOutput")
            if name not in _POSITIONAL and (first is None or hasattr(first, name))
        )
        self.nothing = (None,) * len(self.other_fields)
        self.read_completion = tuple_reader(_POSITIONAL + self.other_fields)
        self.read_others = tuple_reader(self.other_fields)


_SHAPES: Final[dict[tuple[type, type], OutputShape]] = {}


def shape_of(item: Any, fields: tuple[str, ...]) -> OutputShape:
    """Returns the shape of an output, by its class and that of its completions.

    One of its own would cost each stream 1.5 KB.
    """
    first = next(iter(item.outputs), None)
    if first is None:
        return OutputShape(item, None, fields)
    shape = _SHAPES.get(key := (type(item), type(first)))
    if shape is None:
        shape = _SHAPES[key] = OutputShape(item, first, fields)
    return shape


class SentCompletion:
    """What the other side knows of one completion."""

    __slots__ = ("logprobs", "logprobs_count", "others", "text", "token_count", "token_ids")

    def __init__(self) -> None:
        self.text = ""
        self.token_ids: Any = None
        self.token_count = 0
        self.logprobs: Any = None
        self.logprobs_count = 0
        self.others: tuple[object, ...] | None = None

    def remember(self, values: tuple[Any, ...]) -> None:
        """Note the values of a completion that has been sent."""
        self.text = values[1]
        self.token_ids = values[2]
        self.token_count = len(values[2])
        self.logprobs = values[5]
        self.logprobs_count = 0 if values[5] is None else len(values[5])
        self.others = values[6:]

    def is_extended_by(self, output: Any) -> bool:
        """Whether a completion begins with what has been sent of it."""
        text, token_ids, logprobs = output.text, output.token_ids, output.logprobs
        count = self.token_count
        if not text.startswith(self.text) or len(token_ids) < count:
            return False
        # vLLM only ever appends to the list it hands out; any other list has to be compared.
        if token_ids is not self.token_ids and (
            type(token_ids) is not list or token_ids[:count] != self.token_ids[:count]
        ):
            return False
        if logprobs is self.logprobs:
            return logprobs is None or len(logprobs) >= self.logprobs_count
        return self.logprobs is None
