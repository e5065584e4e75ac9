"""Names that clients give to images: ``multi_modal_uuids``, and ``uuid`` of a part of a chat.

vLLM takes a name for the content. If two images had one name, EngineCore could have the one in its
caches and place for the other, and it would end. So a name stands for the content that came with it
here: EngineCore gets both together, and a name alone means the content that came with it last.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import Any, Final
from weakref import WeakKeyDictionary

from python_worker.exceptions import InvalidArgument
from python_worker.finite import is_array

MANY: Final = 10_000
"""Names of one engine that are known."""

_Known = OrderedDict[tuple[str, str], str]

_known: WeakKeyDictionary[Any, _Known] = WeakKeyDictionary()


def name_of(renderer: Any, kind: str, name: str, value: Any, *settings: object) -> str:
    """The name that EngineCore gets.

    Args:
        renderer: The engine's.
        kind: Of the value.
        name: The client's.
        value: What was read; None for the name alone.
        settings: What else decides about what the model gets.

    Raises:
        InvalidArgument: There is the name alone, and nothing came with it.
    """
    known = _known.setdefault(renderer, OrderedDict())
    if value is None:
        full = known.get((kind, name))
        if full is None:
            raise InvalidArgument(
                f"multi_modal_uuids: this engine knows no {kind} {name!r}, or no longer; send it "
                "with its data",
                parameter="multi_modal_uuids",
            )
    else:
        digest = hashlib.sha256()
        for part in _parts([value, settings]):
            digest.update(part)
        full = f"{name}-{digest.hexdigest()[:32]}"
        known[kind, name] = full
    known.move_to_end((kind, name))
    while len(known) > MANY:
        known.popitem(last=False)
    return full


def _parts(value: Any) -> Iterator[bytes]:
    """Bytes that differ where values do. Without recursion: a value may be deep."""
    waiting = [value]
    while waiting:
        value = waiting.pop()
        yield type(value).__name__.encode() + b"\0"
        if hasattr(value, "original_bytes"):
            waiting += [value.original_bytes, value.io_config]
        elif is_array(value):
            array = value.numpy() if hasattr(value, "numpy") else value
            yield f"{array.dtype}{array.shape}".encode()
            yield array.tobytes()
        elif hasattr(value, "tobytes"):  # an image of Pillow's
            yield f"{getattr(value, 'mode', '')}{getattr(value, 'size', '')}".encode()
            yield value.tobytes()
        elif isinstance(value, Mapping):
            for key in sorted(value, key=str):
                waiting += [value[key], str(key)]
        elif isinstance(value, (list, tuple)):
            yield str(len(value)).encode()
            waiting += reversed(value)
        else:
            data = value if isinstance(value, bytes) else repr(value).encode()
            yield str(len(data)).encode() + b"\0"
            yield data
