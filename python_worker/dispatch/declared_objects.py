"""Objects that the worker makes once for all clients that declare the same, by name.

Several clients of one worker may each want an engine of the same name and arguments. The first
declaration makes it, those that come meanwhile wait for it, and later ones find it. It belongs to
the worker: it is kept when the client that asked first has gone, also when that was before it was
ready. One that has died or was shut down is made anew at the next declaration.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from python_worker.codec.types import Record
from python_worker.dispatch.references import References
from python_worker.dispatch.served_classes import ServedClass
from python_worker.exceptions import InvalidArgument

Make = Callable[[], Awaitable[object]]
"""Makes an object."""

Act = Callable[[object, ServedClass], Awaitable[object]]
"""Ends the life of an object, or begins to keep one."""

#: Letters of a name.
MAX_NAME = 200


@dataclass(frozen=True)
class _Declared:
    arguments: object
    making: asyncio.Task[object]


class DeclaredObjects:
    """The declared objects of one worker.

    Args:
        references: Where objects are kept.
        end: Shuts down an object that has died, and forgets it.
        keep: Begins to keep an object that was made; before anybody is told of it.
    """

    def __init__(self, references: References, *, end: Act, keep: Act) -> None:
        self._references = references
        self._end = end
        self._keep = keep
        self._declared: dict[tuple[str, str], _Declared] = {}

    async def find(self, served: ServedClass, name: str, arguments: object, make: Make) -> object:
        """The object of a name; it is made if there is none.

        Args:
            served: The policy of its class.
            name: Of the object, among those of its class.
            arguments: Those that it is made from.
            make: Makes it.

        Raises:
            InvalidArgument: There is one of this name that was made from other arguments.
            Exception: It could not be made. The next declaration tries again.
        """
        declared = self._declared.get((served.name, name))
        if declared is None or not self._lives(declared, served):
            making = asyncio.ensure_future(self._make(served, make, declared))
            # Nobody may wait any more when it fails.
            making.add_done_callback(lambda task: task.cancelled() or task.exception())
            declared = self._declared[served.name, name] = _Declared(arguments, making)
        elif differing := differences(declared.arguments, arguments):
            raise InvalidArgument(
                f"{served.name} {name!r} is declared with other arguments by another client; "
                f"different: {', '.join(differing)}. Declare the same, or take another name"
            )
        return await asyncio.shield(declared.making)

    def name_of(self, target: object) -> str | None:
        """The name that an object is declared under."""
        for (_cls, name), declared in self._declared.items():
            if _result(declared.making) is target:
                return name
        return None

    def stop(self) -> None:
        """The worker stops: what is being made is not waited for."""
        for declared in self._declared.values():
            declared.making.cancel()

    def _lives(self, declared: _Declared, served: ServedClass) -> bool:
        if not declared.making.done():
            return True
        target = _result(declared.making)
        entry = None if target is None else self._references.entry(target)
        return entry is not None and entry.pinned and served.death(target) is None

    async def _make(self, served: ServedClass, make: Make, before: _Declared | None) -> object:
        dead = None if before is None else _result(before.making)
        # Its memory is needed for the new one.
        if dead is not None and (entry := self._references.entry(dead)) and entry.pinned:
            await self._end(dead, served)
        made = await make()
        await self._keep(made, served)
        return made


def _result(making: asyncio.Task[object]) -> object | None:
    """What was made; None if it is not ready or failed."""
    if not making.done() or making.cancelled() or making.exception() is not None:
        return None
    return making.result()


def differences(one: object, other: object) -> list[str]:
    """The names of arguments that differ, sorted. No values: some are secret."""
    ones, others = fields_of(one), fields_of(other)
    return sorted(name for name in {*ones, *others} if not _same(ones.get(name), others.get(name)))


def fields_of(arguments: object) -> Mapping[str, object]:
    """The fields of a record or map; anything else has one without a name."""
    if isinstance(arguments, Record):
        return arguments.fields
    if isinstance(arguments, Mapping):
        return {str(name): value for name, value in arguments.items()}
    return {"arguments": arguments}


def _same(one: Any, other: Any) -> bool:
    try:
        return bool(one == other)
    except Exception:  # of arrays, which compare each element
        return False


def named(args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[str, Any]:
    """The two arguments of a declaration: a name, and what the object is made from.

    Raises:
        InvalidArgument: They are not two, or the name is none.
    """
    if kwargs or len(args) != 2:
        raise InvalidArgument("a declaration takes a name and the arguments of the engine")
    name, arguments = args
    if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME:
        raise InvalidArgument(
            f"name: wants a text of 1 to {MAX_NAME} letters, got {type(name).__name__}"
            + (f" of {len(name)}" if isinstance(name, str) else "")
        )
    return name, arguments
