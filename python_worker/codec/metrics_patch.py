"""What is new in the metrics of an item: the part `metrics` of a patch's changes.

With vLLM's statistics on, as they are by default, every output carries its metrics, and the same
two of their dozen fields change with every token: the number of tokens and the time of the last.
So the fields that changed last time are compared first, and their names are packed in advance:
2.2 µs instead of 5.4.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable, Mapping
from operator import eq
from typing import Any, Final

import msgpack

from python_worker.codec.output_patch import unsigned
from python_worker.codec.records import record_of, tuple_reader

NO_CHANGES: Final[Mapping[str, object]] = {}

_NONE_TYPE: Final = type(None)
_FLOAT: Final = struct.Struct(">Bd")
_FLOAT_CODE: Final = 0xCB

# By the number of changed fields: a map of one entry, "metrics", whose value is a map of so many.
_HEADS: Final = [b"\x81\xa7metrics" + bytes((0x80 | n,)) for n in range(0x10)]


class MetricsPatch:
    """The metrics of one stream that the client has received.

    vLLM hands out the same object with every item, so the values of its fields are kept.

    Args:
        pack: Returns the bytes of a value.
    """

    __slots__ = ("_changed", "_class", "_known", "_pack", "_pattern", "_unchanged")

    def __init__(self, pack: Callable[[object], bytes]) -> None:
        self._pack = pack
        self._class: type | None = None
        self._known: dict[str, object] | None = None
        # Which fields changed in the last item. Its values of these fields and of all others are
        # newer than `_known`.
        self._pattern: _ChangePattern | None = None
        self._changed: tuple[object, ...] = ()
        self._unchanged: tuple[object, ...] = ()

    def changes(self, metrics: Any) -> Mapping[str, object]:
        """Returns the entry of a patch: the new fields, or all if the class is another."""
        cls = type(metrics)
        if cls is not self._class:
            self._class, self._pattern = cls, None
            record = record_of(cls)
            fields = record[1] if record else ()
            known = {name: getattr(metrics, name) for name in fields if hasattr(metrics, name)}
            self._known = known if record else None
            return {"metrics": metrics}
        if self._known is None:
            return NO_CHANGES if metrics is None else {"metrics": metrics}
        if self._pattern is not None:
            self._known.update(zip(self._pattern.changing, self._changed, strict=True))
        now = {name: getattr(metrics, name) for name in self._known}
        new = {name: value for name, value in now.items() if value != self._known[name]}
        self._known, self._pattern = now, None
        if 0 < len(new) < len(_HEADS):
            self._pattern = pattern = _change_pattern(tuple(now), tuple(new))
            self._changed = pattern.read_changing(metrics)
            self._unchanged = pattern.read_others(metrics)
        return {"metrics": new} if new else NO_CHANGES

    def encode(self, metrics: Any) -> bytes | None:
        """Returns the bytes of `changes`; None if there are no changes."""
        if metrics is None and self._class is _NONE_TYPE:
            return None
        pattern = self._pattern
        if pattern is not None and type(metrics) is self._class:
            changed = pattern.read_changing(metrics)
            if (
                True not in map(eq, changed, self._changed)
                and pattern.read_others(metrics) == self._unchanged
            ):
                self._changed = changed
                return b"".join(map(self._pack_field, pattern.packed_names, changed))
        changes = self.changes(metrics)
        return self._pack(changes) if changes else None

    def _pack_field(self, name: bytes, value: Any) -> bytes:
        if type(value) is float:
            return name + _FLOAT.pack(_FLOAT_CODE, value)
        if type(value) is int and 0 <= value < 0x1_0000_0000:
            return name + unsigned(value)
        return name + self._pack(value)


class _ChangePattern:
    """How to read metrics of which the same fields change each time. Streams share these."""

    def __init__(self, fields: tuple[str, ...], changing: tuple[str, ...]) -> None:
        self.changing = changing
        names = [msgpack.packb(name) for name in changing]
        # The first with what stands before it.
        self.packed_names = [_HEADS[len(changing)] + names[0], *names[1:]]
        self.read_changing = tuple_reader(changing)
        self.read_others = tuple_reader(tuple(name for name in fields if name not in changing))


# A stream has about three of them during its life.
_change_pattern = functools.lru_cache(maxsize=64)(_ChangePattern)
