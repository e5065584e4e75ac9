"""Encodes the items of one stream without sending again what the client has received.

The first RequestOutput of a stream is sent whole, each further one as a patch of the one before
(the format is in `output_patch`). The client puts together exactly what vLLM yielded: if an item
does not extend the one before, its patch replaces instead of appending.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from operator import is_not
from typing import Any

from python_worker.codec.encoder import Encoder
from python_worker.codec.metrics_patch import MetricsPatch
from python_worker.codec.output_patch import (
    APPEND,
    NIL,
    REPLACE,
    extension,
    plain_completion,
    plain_item,
    plain_patch,
)
from python_worker.codec.output_shapes import OutputShape, shape_of
from python_worker.codec.records import record_of
from python_worker.codec.reducers import LogprobColumns
from python_worker.codec.sent_output import SentCompletion, SentFields, differences
from python_worker.codec.types import FailureBytes, Register
from python_worker.codec.value_paths import find_problem
from python_worker.exceptions import EncodeError


class ItemEncoder:
    """Encodes the items of one stream, in order.

    It holds references to the strings and lists that it last sent, never copies.

    Args:
        register: As for `codec.encode`.
        failure_bytes: As for `codec.encode`.
        cumulative: Whether the request's output kind is CUMULATIVE. A wrong value costs bytes, not
            correctness.

    Attributes:
        cumulative: The argument.
        plain: Whether the last item was plain: nothing was new but tokens of its completions, and
            metrics. Then the next item can be sent without a RequestOutput: see `encode_plain`.
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
        self._fields = SentFields()
        self._metrics = MetricsPatch(self._encoder.encode)
        self._completions: dict[int, SentCompletion] = {}

    def encode(self, item: Any) -> bytes:
        """Returns the bytes of an item: a patch if the item continues a RequestOutput.

        Raises:
            EncodeError: A part cannot be sent. The next item will be sent whole.
        """
        self.plain = False
        shape = self._shape
        if shape is None or type(item) is not shape.cls or item.request_id != self._request_id:
            return self._encode_whole(item)
        try:
            return self._encode_if_plain(shape, item) or extension(
                self._encoder.encode(self._patch(shape, item))
            )
        except Exception as error:
            self._forget(item, error)
            raise

    def _forget(self, item: Any, error: Exception) -> None:
        """Has the next item sent whole, after one that cannot be sent.

        Raises:
            EncodeError: The part that cannot be sent, as a path of the item, not of its patch.
        """
        self._shape = None
        if isinstance(error, EncodeError) and (problem := find_problem(item, **self._known)):
            raise EncodeError(problem.path, problem.message) from error

    def _encode_whole(self, item: Any) -> bytes:
        self._shape = None
        data = self._encoder.encode(item)
        record = record_of(type(item))
        if record is None or record[0] != "RequestOutput":
            return data
        shape = self._shape = shape_of(item, record[1])
        self._request_id = item.request_id
        self._completions = {}
        for output in item.outputs:
            self._sent(output.index).remember(shape.read_completion(output))
        self._fields.remember(shape, shape.read(item))
        self._metrics.changes(item.metrics if shape.has_metrics else None)
        return data

    # -- Plain items -----------------------------------------------------------------------------

    def encode_plain(self, completions: Collection[bytes], changes: bytes) -> bytes:
        """Returns the bytes of a plain item from those of its parts, without a RequestOutput.

        Args:
            completions: Results of `encode_completion` and `encode_completions`, each index once.
            changes: The result of `encode_metrics`.
        """
        return plain_patch(APPEND if self.cumulative else REPLACE, completions, changes)

    def encode_token(self, index: int, text: str, token_ids: Sequence[int], metrics: Any) -> bytes:
        """Returns the bytes of a plain item with one completion, without a RequestOutput.

        Args:
            index: As for `encode_completion`, ...
            text: ... and so is this, ...
            token_ids: ... and this.
            metrics: The item's.
        """
        if self.cumulative:
            text, token_ids = self._new(index, text, token_ids)
        changes = self.encode_metrics(metrics)
        if len(token_ids) == 1 and not index:
            mode = APPEND if self.cumulative else REPLACE
            if data := plain_item(mode, text, token_ids[0], changes):
                return data
        return self.encode_plain((self._encode_new(index, text, token_ids),), changes)

    def encode_metrics(self, metrics: Any) -> bytes:
        """Returns the bytes of what is new in the metrics of the next item."""
        return self._metrics.encode(metrics) or NIL

    def encode_completion(self, index: int, text: str, token_ids: Sequence[int]) -> bytes:
        """Returns the bytes of a completion that has new tokens, and nothing else.

        Args:
            index: The completion's index, which an earlier item had.
            text: The new text. If the output kind is CUMULATIVE, the whole text, which has to
                begin with what was sent before.
            token_ids: The new token ids. If the output kind is CUMULATIVE, all token ids.
        """
        if self.cumulative:
            text, token_ids = self._new(index, text, token_ids)
        return self._encode_new(index, text, token_ids)

    def _new(self, index: int, text: str, token_ids: Sequence[int]) -> tuple[str, Sequence[int]]:
        """What is new of a CUMULATIVE completion; keeps what will have been sent."""
        sent, ids = self._completions[index], token_ids
        text, sent.text = text[len(sent.text) :], text
        token_ids, sent.token_ids = ids[sent.token_count :], ids
        sent.token_count = len(ids)
        return text, token_ids

    def _encode_new(self, index: int, text: str, token_ids: Sequence[int]) -> bytes:
        if len(token_ids) == 1 and (encoded := plain_completion(index, text, token_ids[0])):
            return encoded
        return self._encoder.encode([index, text, token_ids, None, None, None])

    def encode_completions(self, item: Any) -> dict[int, bytes] | None:
        """Returns the bytes of an item's completions, by index, to join with plain ones.

        The item's metrics are not read.

        Returns:
            None if something else is new in the item than its completions.

        Raises:
            EncodeError: A part cannot be sent.
        """
        shape = self._shape
        if (
            shape is None
            or type(item) is not shape.cls
            or item.request_id != self._request_id
            or item.finished
            or not self._fields.are(shape.read(item))
            or not _indices_differ(item.outputs)
            or (self.cumulative and not self._extends(item.outputs))
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
            self._forget(item, error)
            raise

    def _encode_if_plain(self, shape: OutputShape, item: Any) -> bytes | None:
        """Returns the bytes of a plain item, else None.

        `_patch` would give the same bytes. But if an item is known to be plain, the next can be
        sent without a RequestOutput.
        """
        if item.finished or not item.outputs or not self._fields.are(shape.read(item)):
            return None
        try:
            if not all(self._is_plain(shape, output) for output in item.outputs):
                return None
        except (ValueError, RuntimeError):  # arrays and tensors: their comparison is no bool
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

    def _is_plain(self, shape: OutputShape, output: Any) -> bool:
        sent = self._completions.get(output.index)
        return (
            sent is not None
            and type(output.text) is str
            and type(output.token_ids) is list
            and output.logprobs is None
            and output.finish_reason is None
            and output.stop_reason is None
            and sent.others == shape.unset
            and bool(shape.read_others(output) == shape.unset)
            and (not self.cumulative or sent.is_extended_by(output))
        )

    # -- Patches of any kind ---------------------------------------------------------------------

    def _patch(self, shape: OutputShape, item: Any) -> list[object]:
        outputs = item.outputs
        mode = APPEND if self.cumulative and self._extends(outputs) else REPLACE
        completions = [self._completion(shape, output, mode) for output in outputs]
        metrics = self._metrics.changes(item.metrics if shape.has_metrics else None)
        changes = {**self._fields.changes(shape, shape.read(item)), **metrics}
        return [mode, item.finished, completions, changes or None]

    def _sent(self, index: int) -> SentCompletion:
        sent = self._completions.get(index)
        if sent is None:
            sent = self._completions[index] = SentCompletion()
        return sent

    def _extends(self, outputs: Sequence[Any]) -> bool:
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
        if any(map(is_not, others, sent.others or shape.unset)):
            more = differences(shape.other_fields, others, sent.others or shape.unset)
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


def _indices_differ(outputs: Sequence[Any]) -> bool:
    """Whether no index occurs twice: such a completion would be appended to itself."""
    return len(outputs) < 2 or len({output.index for output in outputs}) == len(outputs)


def _columns(logprobs: Any) -> Any:
    """Has the logprobs of each position sent as columns: see `reducers.LogprobColumns`."""
    if type(logprobs) is not list:  # vLLM's FlatLogprobs has a reducer of its own
        return logprobs
    return [LogprobColumns(entries) if type(entries) is dict else entries for entries in logprobs]
