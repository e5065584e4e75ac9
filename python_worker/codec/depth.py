"""How deep containers may be nested: the one limit, for values in both directions.

Python stops at 1,000 calls within calls, and a check of a typed argument takes up to five for each
container. With this limit no value comes near that, whatever it is made of: lists, maps, tuples,
sets, structs, and maps' keys. Elixir's half is ``@max_depth`` in `Vllm.Core.Codec.Encoder`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, Final

from python_worker.codec.types import Record
from python_worker.exceptions import LimitExceeded

MAX_DEPTH: Final = 128
"""In how many containers a value may be, each of any kind counted as one."""

STEP: Final = 65_536
"""How many items are looked at in one call of C, which keeps all other threads waiting."""

CONTAINERS: Final = frozenset({list, dict, tuple, set, frozenset, Record})

_MAX_PATH: Final = 200


def check_depth(value: object, root: str = "value") -> None:
    """Refuses a decoded value that is nested too deep. Walks it without recursion.

    Args:
        value: Made of the decoder's types.
        root: What the value is, for the error.

    Raises:
        LimitExceeded: It names the limit and the first part that is beyond it.
    """
    level = [value] if type(value) in CONTAINERS else []
    for _ in range(MAX_DEPTH):
        if not level:
            return
        level = [part for container in level for part in containers_in(container)]
    if level:
        path = shorten(_path_to(value, id(level[0]), root))
        raise LimitExceeded(f"{path}: {TOO_DEEP}", parameter=path, limit=MAX_DEPTH)


TOO_DEEP: Final = f"it is nested in more than {MAX_DEPTH} containers, which is the limit"


def containers_in(container: Any) -> list[object]:
    """Returns the containers that a decoded container holds directly."""
    if type(container) is dict:
        keys = containers_among(container.keys())
        return keys + containers_among(container.values())
    if type(container) is Record:
        return containers_among(container.fields.values())
    return containers_among(container)


def containers_among(parts: Collection[object]) -> list[object]:
    """Returns those parts that are containers."""
    if len(parts) <= STEP or type(parts) is not list:
        # In C, for lists of token ids.
        if CONTAINERS.isdisjoint(map(type, parts)):
            return []
        return [part for part in parts if type(part) in CONTAINERS]
    pieces = (parts[start : start + STEP] for start in range(0, len(parts), STEP))
    return [part for piece in pieces for part in containers_among(piece)]


def _path_to(value: object, identity: int, root: str) -> str:
    """Returns the path of the part with this identity."""
    pending = [(root, value)]
    while pending:
        path, container = pending.pop()
        if id(container) == identity:
            return path
        pending += [(f"{path}{step}", part) for step, part in _steps(container)]
    return root


def _steps(container: Any) -> Iterator[tuple[str, object]]:
    if type(container) is dict:
        for key, part in container.items():
            if type(key) in CONTAINERS:
                yield " key", key
            yield f"[{key!r:.80}]" if type(key) is str else "[…]", part
    elif type(container) is Record:
        yield from ((f".{name}", part) for name, part in container.fields.items())
    elif type(container) in CONTAINERS:
        yield from ((f"[{index}]", part) for index, part in enumerate(container))


def shorten(path: str) -> str:
    """Returns a path without its middle, if it is long."""
    if len(path) <= _MAX_PATH:
        return path
    half = _MAX_PATH // 2
    return f"{path[:half]}…{path[-half:]}"
