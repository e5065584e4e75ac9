"""What the client has received of a RequestOutput, so that the next patch can leave it out.

vLLM hands out the same objects with every item and extends some of them in place. So values are
kept by reference, and beside a list its length.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import is_not
from typing import Any, Final

from python_worker.codec.output_shapes import OutputShape

_SCALARS: Final = frozenset({str, int, float, bool})


class SentCompletion:
    """The values of one completion that the client has received."""

    __slots__ = ("logprobs", "logprobs_count", "others", "text", "token_count", "token_ids")

    def __init__(self) -> None:
        self.text = ""
        self.token_ids: Any = None
        self.token_count = 0
        self.logprobs: Any = None
        self.logprobs_count = 0
        self.others: tuple[object, ...] | None = None

    def remember(self, values: tuple[Any, ...]) -> None:
        """Keeps the values of a completion that has been sent."""
        self.text = values[1]
        self.token_ids = values[2]
        self.token_count = len(values[2])
        self.logprobs = values[5]
        self.logprobs_count = 0 if values[5] is None else len(values[5])
        self.others = values[6:]

    def is_extended_by(self, completion: Any) -> bool:
        """Whether a completion begins with what has been sent of it."""
        text, token_ids, logprobs = completion.text, completion.token_ids, completion.logprobs
        count = self.token_count
        if not text.startswith(self.text) or len(token_ids) < count:
            return False
        # vLLM only appends to the list that it hands out; any other list has to be compared.
        if token_ids is not self.token_ids and (
            type(token_ids) is not list or token_ids[:count] != self.token_ids[:count]
        ):
            return False
        if logprobs is self.logprobs:
            return logprobs is None or len(logprobs) >= self.logprobs_count
        return self.logprobs is None


class SentFields:
    """The values of a RequestOutput's own fields that the client has received."""

    __slots__ = ("_lengths", "_may_change_in_place", "_values")

    def __init__(self) -> None:
        self._values: tuple[object, ...] = ()
        # The index and length of each list that may grow in place.
        self._lengths: list[tuple[int, int]] = []
        self._may_change_in_place = False

    def remember(self, shape: OutputShape, values: tuple[Any, ...]) -> None:
        """Keeps the values of an item that has been sent."""
        self._values = values
        self._lengths = [
            (index, len(values[index])) for index in shape.growing if _has_length(values[index])
        ]
        self._may_change_in_place = any(values[index] is not None for index in shape.always)

    def are(self, values: tuple[Any, ...]) -> bool:
        """Whether an item has the values that have been sent."""
        try:
            if self._may_change_in_place or values != self._values:
                return False
        except (ValueError, RuntimeError):  # arrays and tensors: their comparison is no bool
            return False
        return all(len(values[index]) == length for index, length in self._lengths)

    def changes(self, shape: OutputShape, values: tuple[Any, ...]) -> dict[str, object]:
        """Returns the fields of an item that are new, and keeps its values."""
        # Nearly every item has the very same objects as the one before.
        if not (
            any(map(is_not, values, self._values))
            or any(len(values[index]) != length for index, length in self._lengths)
            or self._may_change_in_place
        ):
            return {}
        last, lengths = self._values, dict(self._lengths)
        changes = differences(shape.fields, values, last)
        for index in shape.growing:
            name = shape.fields[index]
            if index not in lengths or not _has_length(values[index]):
                continue
            if len(values[index]) != lengths[index]:
                changes[name] = values[index]
            elif type(values[index]) is list and values[index] == last[index]:
                # The same numbers in another list, as vLLM makes for prompt embeddings.
                changes.pop(name, None)
        for index in shape.always:
            if values[index] is not None:
                changes[shape.fields[index]] = values[index]
        self.remember(shape, values)
        return changes


def differences(
    fields: tuple[str, ...], values: tuple[object, ...], last: tuple[object, ...]
) -> dict[str, object]:
    """Returns the fields that are, or may be, different: sending one twice does no harm."""
    return {
        name: new
        for name, new, old in zip(fields, values, last, strict=True)
        if new is not old and not (type(new) in _SCALARS and type(new) is type(old) and new == old)
    }


def _has_length(value: object) -> bool:
    """Whether a value is a sequence. An isinstance check of an abstract class is slow."""
    return type(value) is list or (value is not None and isinstance(value, Sequence))
