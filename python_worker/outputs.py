"""Encodes the items of one stream so that what has been sent is not sent again.

vLLM yields whole objects: in the default CUMULATIVE mode each RequestOutput repeats the prompt,
all text and all token ids so far. On the wire only the first RequestOutput of a stream is whole.
Each further one is a patch, an extension type whose content is the array

    [mode, finished, completions, changes]

mode
    0: text, token ids and logprobs of each completion are the item's own.
    1: they are appended to those of the previous item of the same index.
completions
    ``[[index, text, token_ids, finish_reason, stop_reason, more], …]``, exactly the item's outputs
    in their order. `more` is None or a dict of the other fields of the completion that differ from
    the index's previous item (from None for an index not seen yet). `logprobs` obeys the mode: in
    mode 0 it is the item's own, and absent means None; in mode 1 it is what to append, and absent
    means unchanged.
changes
    None, or a dict of the other fields of the RequestOutput that differ from the previous item.
    `metrics` as a plain dict holds those fields of the metrics that differ; otherwise it replaces.

`Vllm.OutputPatch` puts the items together again. What it yields equals what vLLM yielded, always:
where an item does not extend the one before, it is sent in mode 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter, is_not
from typing import Any, Final

from python_worker import records
from python_worker.codec import EncodeError, Encoder, FailureBytes, Register
from python_worker.reducers import PATCH, Position
from python_worker.value_paths import find_problem

REPLACE: Final = 0
APPEND: Final = 1

_APART: Final = frozenset({"request_id", "outputs", "finished", "metrics"})
"""Fields of a RequestOutput that `changes` does not hold, or not as they are."""

_GROWING: Final = ("prompt_token_ids", "encoder_prompt_token_ids", "prompt_logprobs")
"""Lists that vLLM may extend in place between two items (streamed input does)."""

_ALWAYS: Final = ("kv_transfer_params", "ec_transfer_params")
"""Dicts of a connector's own: nobody says that they are not altered in place. Set on few items."""

_POSITIONAL: Final = ("index", "text", "token_ids", "finish_reason", "stop_reason", "logprobs")
_SCALARS: Final = frozenset({str, int, float, bool})
_EXT_8: Final = [bytes((0xC7, length, PATCH)) for length in range(256)]

# The parts of a plain patch in MessagePack, from its start: four items, mode 0, not finished, one
# completion, which has six.
_PLAIN: Final = b"\x94\x00\xc2\x91\x96"
_POSITIVE_FIXINT: Final = [bytes((n,)) for n in range(0x80)]
_FIXSTR: Final = [bytes((0xA0 | n,)) for n in range(0x20)]
_ARRAY_OF_ONE: Final = b"\x91"
_THREE_NILS: Final = b"\xc0\xc0\xc0"


def _unsigned(number: int) -> bytes:
    """Returns a number below 2**32 as MessagePack writes it: as short as it can be."""
    if number < 0x80:
        return _POSITIVE_FIXINT[number]
    if number < 0x100:
        return bytes((0xCC, number))
    if number < 0x10000:
        return bytes((0xCD, number >> 8, number & 0xFF))
    return b"\xce" + number.to_bytes(4, "big")


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
    """

    def __init__(
        self,
        *,
        register: Register | None = None,
        failure_bytes: FailureBytes | None = None,
        cumulative: bool = False,
    ) -> None:
        self._encoder = Encoder(register=register, failure_bytes=failure_bytes)
        self._known = {"references": register is not None, "exceptions": failure_bytes is not None}
        self._cumulative = cumulative
        self._shape: _Shape | None = None
        self._request_id: object = None
        self._values: tuple[object, ...] = ()
        self._growing: list[tuple[int, int]] = []  # position and length of what may grow in place
        self._altered_unseen = False
        self._metrics: tuple[object, ...] | None = None
        self._metrics_class: type | None = None
        self._metrics_fields: tuple[str, ...] = ()
        self._read_metrics: Any = None
        self._completions: dict[int, _Sent] = {}

    def encode(self, item: Any) -> bytes:
        """Returns the bytes of an item: of a patch, if it continues a RequestOutput.

        Raises:
            codec.EncodeError: Some part cannot be sent. The next item will be sent whole.
        """
        shape = self._shape
        if shape is None or type(item) is not shape.cls or item.request_id != self._request_id:
            return self._encode_whole(item)
        try:
            body = self._plain(shape, item) or self._encoder.encode(self._patch(shape, item))
        except Exception as error:
            self._shape = None
            if isinstance(error, EncodeError) and (
                problem := find_problem(item, **self._known)  # as a path of the item
            ):
                raise EncodeError(problem.path, problem.message) from error
            raise
        length = len(body)
        if length < 256:
            return _EXT_8[length] + body
        if length < 65536:
            return b"\xc8" + length.to_bytes(2, "big") + bytes((PATCH,)) + body
        return b"\xc9" + length.to_bytes(4, "big") + bytes((PATCH,)) + body

    def _plain(self, shape: _Shape, item: Any) -> bytes | None:
        """Returns the patch of an item with nothing new but one token of one completion, or None.

        That is every DELTA item between the first and the last, unless logprobs were asked for or
        the engine is ahead; its metrics may differ. `_patch` and the encoder would say the same at
        a higher cost: they look at each field, while here two comparisons of tuples say that
        all others are as before, and the bytes are put down as they are known to be.
        """
        if self._cumulative or self._altered_unseen or item.finished or len(item.outputs) != 1:
            return None
        output = item.outputs[0]
        index, text, token_ids = output.index, output.text, output.token_ids
        sent = self._completions.get(index)
        values = shape.read(item)
        try:
            if (
                sent is None
                or len(token_ids) != 1
                or output.logprobs is not None
                or output.finish_reason is not None
                or output.stop_reason is not None
                or shape.read_others(output) != sent.others
                or values != self._values
            ):
                return None
        except (ValueError, RuntimeError):  # arrays and tensors, which compare to no truth
            return None
        for place, length in self._growing:
            if len(values[place]) != length:
                return None
        (token_id,) = token_ids
        if type(text) is not str or type(token_id) is not int or not 0 <= token_id < 2**32:
            return None
        try:
            encoded = text.encode()
        except UnicodeEncodeError:  # a lone surrogate, which the encoder replaces
            return None
        if len(encoded) >= len(_FIXSTR) or index >= len(_POSITIVE_FIXINT):
            return None
        changes = self._changed_metrics(shape, item)
        return b"".join(
            (
                _PLAIN,
                _POSITIVE_FIXINT[index],
                _FIXSTR[len(encoded)],
                encoded,
                _ARRAY_OF_ONE,
                _unsigned(token_id),
                _THREE_NILS,
                b"\xc0" if changes is None else self._encoder.encode(changes),
            )
        )

    def _patch(self, shape: _Shape, item: Any) -> list[object]:
        outputs = item.outputs
        mode = APPEND if self._cumulative and self._extends(shape, outputs) else REPLACE
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
        shape = self._shape = _shape_of(item, record[1])
        self._request_id = item.request_id
        self._completions = {}
        for output in item.outputs:
            self._sent(output.index).remember(shape.read_completion(output))
        self._remember(shape, shape.read(item))
        self._metrics_changes(item.metrics if shape.has_metrics else None)
        return data

    def _sent(self, index: int) -> _Sent:
        sent = self._completions.get(index)
        if sent is None:
            sent = self._completions[index] = _Sent()
        return sent

    # -- Completions ---------------------------------------------------------------------------

    def _extends(self, shape: _Shape, outputs: Sequence[Any]) -> bool:
        """Whether every completion begins with what was last sent of its index."""
        for output in outputs:
            sent = self._completions.get(output.index)
            if sent is not None and not sent.is_extended_by(output):
                return False
        # An index twice in one item would be appended to itself.
        return len(outputs) < 2 or len({output.index for output in outputs}) == len(outputs)

    def _completion(self, shape: _Shape, output: Any, mode: int) -> list[object]:
        values = shape.read_completion(output)
        index, text, token_ids, finish_reason, stop_reason, logprobs = values[:6]
        sent = self._completions.get(index)
        if sent is None:
            sent = self._completions[index] = _Sent()
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
        if self._cumulative:
            sent.remember(values)
        else:
            sent.others = others
        return [index, text, token_ids, finish_reason, stop_reason, more]

    # -- The RequestOutput's own fields ----------------------------------------------------------

    def _changes(self, shape: _Shape, item: Any) -> dict[str, object] | None:
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
        return {**changes, **(self._changed_metrics(shape, item) or {})} or None

    def _differences(self, shape: _Shape, values: tuple[Any, ...]) -> dict[str, object]:
        last, lengths = self._values, dict(self._growing)
        changes = _differences(shape.fields, values, last)
        for name in _GROWING:
            place = shape.positions.get(name)
            if place is None or place not in lengths or not isinstance(values[place], Sequence):
                continue
            if len(values[place]) != lengths[place]:
                changes[name] = values[place]
            elif type(values[place]) is list and values[place] == last[place]:
                # The same numbers in another list, as vLLM makes for prompt embeddings.
                changes.pop(name, None)
        for name in _ALWAYS:
            place = shape.positions.get(name)
            if place is not None and values[place] is not None:
                changes[name] = values[place]
        self._remember(shape, values)
        return changes

    def _remember(self, shape: _Shape, values: tuple[Any, ...]) -> None:
        self._values = values
        self._growing = [
            (place, len(values[place]))
            for name in _GROWING
            if (place := shape.positions.get(name)) is not None
            and isinstance(values[place], Sequence)
        ]
        self._altered_unseen = any(
            values[place] is not None
            for name in _ALWAYS
            if (place := shape.positions.get(name)) is not None
        )

    def _changed_metrics(self, shape: _Shape, item: Any) -> dict[str, object] | None:
        metrics = item.metrics if shape.has_metrics else None
        if metrics is None and self._metrics_class is type(None):
            return None
        return self._metrics_changes(metrics) or None

    def _metrics_changes(self, metrics: Any) -> dict[str, object]:
        """Returns what to send of the metrics, under the field's name; nothing if unchanged."""
        cls = type(metrics)
        if cls is self._metrics_class and self._metrics is not None:
            values = self._read_metrics(metrics)
            different = {
                name: new
                for name, new, old in zip(self._metrics_fields, values, self._metrics, strict=True)
                if new != old
            }
            self._metrics = values
            return {"metrics": different} if different else {}
        unchanged = metrics is None and self._metrics_class is type(None)
        self._metrics, self._metrics_class = None, cls
        if (record := records.record_of(cls)) is not None:
            self._metrics_fields = tuple(name for name in record[1] if hasattr(metrics, name))
            self._read_metrics = _tuple_reader(self._metrics_fields)
            self._metrics = self._read_metrics(metrics)
        return {} if unchanged else {"metrics": metrics}


class _Shape:
    """How to read the fields of a class of outputs: made from its first object, used for all."""

    def __init__(self, item: Any, first: Any, fields: tuple[str, ...]) -> None:
        self.cls = type(item)
        self.fields = tuple(name for name in fields if name not in _APART and hasattr(item, name))
        self.positions = {name: position for position, name in enumerate(self.fields)}
        self.has_metrics = hasattr(item, "metrics")
        self.read = _tuple_reader(self.fields)
        self.other_fields = tuple(
            name
            for name in records.fields_of("CompletionOutput")
            if name not in _POSITIONAL and (first is None or hasattr(first, name))
        )
        self.nothing = (None,) * len(self.other_fields)
        self.read_completion = _tuple_reader(_POSITIONAL + self.other_fields)
        self.read_others = _tuple_reader(self.other_fields)


_SHAPES: Final[dict[tuple[type, type], _Shape]] = {}


def _shape_of(item: Any, fields: tuple[str, ...]) -> _Shape:
    """Returns the shape of an output, by its class and that of its completions.

    One of its own would cost each stream 1.5 KB.
    """
    first = next(iter(item.outputs), None)
    if first is None:
        return _Shape(item, None, fields)
    shape = _SHAPES.get(key := (type(item), type(first)))
    if shape is None:
        shape = _SHAPES[key] = _Shape(item, first, fields)
    return shape


def _columns(logprobs: Any) -> Any:
    """Has the logprobs of each position go as columns; see `reducers.Position`."""
    if type(logprobs) is not list:  # vLLM's flat form, which has a reducer of its own
        return logprobs
    return [Position(entries) if type(entries) is dict else entries for entries in logprobs]


class _Sent:
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
        self.text = values[1]
        self.token_ids = values[2]
        self.token_count = len(values[2])
        self.logprobs = values[5]
        self.logprobs_count = 0 if values[5] is None else len(values[5])
        self.others = values[6:]

    def is_extended_by(self, output: Any) -> bool:
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


def _differences(
    fields: tuple[str, ...], values: tuple[object, ...], last: tuple[object, ...]
) -> dict[str, object]:
    """Returns the fields that are, or may be, different: what is sent twice does no harm."""
    return {
        name: new
        for name, new, old in zip(fields, values, last, strict=True)
        if new is not old and not (type(new) in _SCALARS and type(new) is type(old) and new == old)
    }


def _tuple_reader(fields: tuple[str, ...]) -> Any:
    """Returns a function from an object to the tuple of its fields, in C."""
    if len(fields) > 1:
        return attrgetter(*fields)
    return lambda value: tuple([getattr(value, name) for name in fields])
