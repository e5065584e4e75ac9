"""Encodes the items of one stream so that what has been sent is not sent again.

A stream's first RequestOutput is sent whole, each further one as a patch of the one before
(`output_patch` says what that is). What the other side makes of them equals what vLLM yielded,
always: where an item does not extend the one before, the patch replaces.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from operator import is_not
from typing import Any, Final

from python_worker.codec import records
from python_worker.codec.encoder import Encoder
from python_worker.codec.metrics_patch import MetricsPatch
from python_worker.codec.output_patch import (
    APPEND,
    NIL,
    REPLACE,
    extension,
    plain_completion,
    plain_patch,
)
from python_worker.codec.output_shapes import OutputShape, SentCompletion, shape_of
from python_worker.codec.reducers import Position
from python_worker.codec.types import FailureBytes, Register
from python_worker.codec.value_paths import find_problem
from python_worker.exceptions import EncodeError

_SCALARS: Final = frozenset({str, int, float, bool})


class ItemEncoder:
    """Encodes the items of one stream, in order.

    Holds references to the strings and lists it last sent, never copies. vLLM hands out the same
    mutable metrics and (CUMULATIVE) the same growing lists with every item, so lengths and values
    are remembered beside them.

    Args:
        register: As for `codec.encode`.
        failure_bytes: As for `codec.encode`.
        cumulative: Whether the request's output kind is CUMULATIVE. A wrong answer costs bytes,
            not correctness.

    Attributes:
        cumulative: As told.
        plain: Whether the last item had nothing new but tokens of its completions, and metrics.
            Then the next may be sent without being made: see `encode_plain`.
    """

    plain = False

    def __init__(
        self,
        *,
        register: Register | None = None,
        failure_bytes: FailureBytes | None = None,
        cumulative: bool = False,
    ) -> None:
        self._encoder = Encoder(register=register, failure_bytes=failure_bytes)
        self._known = {"references": register is not None, "exceptions": failure_bytes is not None}
        self.cumulative = cumulative
        self._shape: OutputShape | None = None
        self._request_id: object = None
        self._values: tuple[object, ...] = ()
        self._growing: list[tuple[int, int]] = []  # position and length of what may grow in place
        self._altered_unseen = False
        self._metrics = MetricsPatch(self._encoder.encode)
        self._completions: dict[int, SentCompletion] = {}

    def encode(self, item: Any) -> bytes:
        """Returns the bytes of an item: of a patch, if it continues a RequestOutput.

        Raises:
            codec.EncodeError: Some part cannot be sent. The next item will be sent whole.
        """
        self.plain = False
        shape = self._shape
        if shape is None or type(item) is not shape.cls or item.request_id != self._request_id:
            return self._encode_whole(item)
        try:
            return self._plain(shape, item) or extension(
                self._encoder.encode(self._patch(shape, item))
            )
        except Exception as error:
            self._lose(item, error)
            raise

    def _lose(self, item: Any, error: Exception) -> None:
        """After an item that cannot be sent the next is sent whole.

        Raises:
            codec.EncodeError: What cannot be sent, as a path of the item.
        """
        self._shape = None
        if isinstance(error, EncodeError) and (problem := find_problem(item, **self._known)):
            raise EncodeError(problem.path, problem.message) from error

    # -- Plain items -----------------------------------------------------------------------------

    def encode_plain(self, completions: Collection[bytes], changes: bytes) -> bytes:
        """Returns the bytes of an item that nobody has made: it would be as the one before.

        Args:
            completions: Of `encode_completion` and `encode_completions`, each index once.
            changes: Of `encode_metrics`.
        """
        return plain_patch(APPEND if self.cumulative else REPLACE, completions, changes)

    def encode_metrics(self, metrics: Any) -> bytes:
        """Returns the bytes of what is new of the metrics of the next item."""
        return self._metrics.encode(metrics) or NIL

    def encode_completion(self, index: int, text: str, token_ids: Sequence[int]) -> bytes:
        """Returns the bytes of a completion that has new tokens, and nothing else.

        Args:
            index: The completion's; it was in an item before.
            text: Its text: all of it if the output kind is CUMULATIVE, which continues what it was.
            token_ids: Its token ids: also all of them if the kind is CUMULATIVE.
        """
        if self.cumulative:
            sent, ids = self._completions[index], token_ids
            text, sent.text = text[len(sent.text) :], text
            token_ids, sent.token_ids = ids[sent.token_count :], ids
            sent.token_count = len(ids)
        if len(token_ids) == 1 and (encoded := plain_completion(index, text, token_ids[0])):
            return encoded
        return self._encoder.encode([index, text, token_ids, None, None, None])

    def encode_completions(self, item: Any) -> dict[int, bytes] | None:
        """Returns the bytes of the completions of an item, by index, to go beside plain ones.

        Its metrics are not looked at. None where more is new in it than its completions.

        Raises:
            codec.EncodeError: Some part cannot be sent.
        """
        shape = self._shape
        if (
            shape is None
            or type(item) is not shape.cls
            or item.request_id != self._request_id
            or item.finished
            or not self._is_unchanged(shape, item)
            or not _indices_differ(item.outputs)
            or (self.cumulative and not self._extends(shape, item.outputs))
        ):
            return None
        self.plain = False
        mode = APPEND if self.cumulative else REPLACE
        try:
            return {
                output.index: self._encoder.encode(self._completion(shape, output, mode))
                for output in item.outputs
            }
        except Exception as error:
            self._lose(item, error)
            raise

    def _plain(self, shape: OutputShape, item: Any) -> bytes | None:
        """Returns the patch of an item in which completions have new tokens, or None.

        Nothing else is new but the metrics, and the completions have nothing else. `_patch` would
        say the same; but it is worth knowing that an item was plain, because the next can do
        without being made.
        """
        if item.finished or not item.outputs or not self._is_unchanged(shape, item):
            return None
        try:
            if not all(self._is_plain(shape, output) for output in item.outputs):
                return None
        except (ValueError, RuntimeError):  # arrays and tensors, which compare to no truth
            return None
        if not _indices_differ(item.outputs):
            return None
        self.plain = True
        return self.encode_plain(
            [
                self.encode_completion(output.index, output.text, output.token_ids)
                for output in item.outputs
            ],
            self.encode_metrics(item.metrics if shape.has_metrics else None),
        )

    def _is_unchanged(self, shape: OutputShape, item: Any) -> bool:
        """Whether nothing is new in an item but its completions, and the metrics."""
        values = shape.read(item)
        try:
            if self._altered_unseen or values != self._values:
                return False
        except (ValueError, RuntimeError):
            return False
        return all(len(values[place]) == length for place, length in self._growing)

    def _is_plain(self, shape: OutputShape, output: Any) -> bool:
        sent = self._completions.get(output.index)
        return (
            sent is not None
            and type(output.text) is str
            and type(output.token_ids) is list
            and output.logprobs is None
            and output.finish_reason is None
            and output.stop_reason is None
            and sent.others == shape.nothing
            and bool(shape.read_others(output) == shape.nothing)
            and (not self.cumulative or sent.is_extended_by(output))
        )

    def _patch(self, shape: OutputShape, item: Any) -> list[object]:
        outputs = item.outputs
        mode = APPEND if self.cumulative and self._extends(shape, outputs) else REPLACE
        return [
            mode,
            item.finished,
            [self._completion(shape, output, mode) for output in outputs],
            self._changes(shape, item),
        ]

    def _encode_whole(self, item: Any) -> bytes:
        self._shape = None
        data = self._encoder.encode(item)
        record = records.record_of(type(item))
        if record is None or record[0] != "RequestOutput":
            return data
        shape = self._shape = shape_of(item, record[1])
        self._request_id = item.request_id
        self._completions = {}
        for output in item.outputs:
            self._sent(output.index).remember(shape.read_completion(output))
        self._remember(shape, shape.read(item))
        self._metrics.changes(item.metrics if shape.has_metrics else None)
        return data

    def _sent(self, index: int) -> SentCompletion:
        sent = self._completions.get(index)
        if sent is None:
            sent = self._completions[index] = SentCompletion()
        return sent

    # -- Completions ---------------------------------------------------------------------------

    def _extends(self, shape: OutputShape, outputs: Sequence[Any]) -> bool:
        """Whether every completion begins with what was last sent of its index."""
        for output in outputs:
            sent = self._completions.get(output.index)
            if sent is not None and not sent.is_extended_by(output):
                return False
        return _indices_differ(outputs)

    def _completion(self, shape: OutputShape, output: Any, mode: int) -> list[object]:
        values = shape.read_completion(output)
        index, text, token_ids, finish_reason, stop_reason, logprobs = values[:6]
        sent = self._sent(index)
        others = values[6:]
        more: dict[str, object] | None = None
        if any(map(is_not, others, sent.others or shape.nothing)):
            more = _differences(shape.other_fields, others, sent.others or shape.nothing)
        if mode == APPEND:
            text = text[len(sent.text) :]
            token_ids = token_ids[sent.token_count :]
            if logprobs is not None and (
                sent.logprobs is None or len(logprobs) > sent.logprobs_count
            ):
                more = more or {}
                more["logprobs"] = _columns(logprobs[sent.logprobs_count :])
        elif logprobs is not None:
            more = more or {}
            more["logprobs"] = _columns(logprobs)
        if self.cumulative:
            sent.remember(values)
        else:
            sent.others = others
        return [index, text, token_ids, finish_reason, stop_reason, more]

    # -- The RequestOutput's own fields ----------------------------------------------------------

    def _changes(self, shape: OutputShape, item: Any) -> dict[str, object] | None:
        values = shape.read(item)
        # Nearly every item has the very same objects as the one before.
        if (
            any(map(is_not, values, self._values))
            or any(len(values[place]) != length for place, length in self._growing)
            or self._altered_unseen
        ):
            changes = self._differences(shape, values)
        else:
            changes = {}
        metrics = item.metrics if shape.has_metrics else None
        return {**changes, **self._metrics.changes(metrics)} or None

    def _differences(self, shape: OutputShape, values: tuple[Any, ...]) -> dict[str, object]:
        last, lengths = self._values, dict(self._growing)
        changes = _differences(shape.fields, values, last)
        for place in shape.growing:
            name = shape.fields[place]
            if place not in lengths or not _has_length(values[place]):
                continue
            if len(values[place]) != lengths[place]:
                changes[name] = values[place]
            elif type(values[place]) is list and values[place] == last[place]:
                # The same numbers in another list, as vLLM makes for prompt embeddings.
                changes.pop(name, None)
        for place in shape.always:
            if values[place] is not None:
                changes[shape.fields[place]] = values[place]
        self._remember(shape, values)
        return changes

    def _remember(self, shape: OutputShape, values: tuple[Any, ...]) -> None:
        self._values = values
        self._growing = [
            (place, len(values[place])) for place in shape.growing if _has_length(values[place])
        ]
        self._altered_unseen = any(values[place] is not None for place in shape.always)


def _has_length(value: object) -> bool:
    """Whether it is a list or the like; asking an abstract class is slow."""
    return type(value) is list or (value is not None and isinstance(value, Sequence))


def _indices_differ(outputs: Sequence[Any]) -> bool:
    """Whether no completion is there twice: it would be appended to itself."""
    return len(outputs) < 2 or len({output.index for output in outputs}) == len(outputs)


def _columns(logprobs: Any) -> Any:
    """Has the logprobs of each position go as columns; see `reducers.Position`."""
    if type(logprobs) is not list:  # vLLM's flat form, which has a reducer of its own
        return logprobs
    return [Position(entries) if type(entries) is dict else entries for entries in logprobs]


def _differences(
    fields: tuple[str, ...], values: tuple[object, ...], last: tuple[object, ...]
) -> dict[str, object]:
    """Returns the fields that are, or may be, different: what is sent twice does no harm."""
    return {
        name: new
        for name, new, old in zip(fields, values, last, strict=True)
        if new is not old and not (type(new) in _SCALARS and type(new) is type(old) and new == old)
    }
