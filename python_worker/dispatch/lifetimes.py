"""The beginning and the end of objects that live until they are shut down, such as engines."""

from __future__ import annotations

import asyncio
import functools
import gc
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from python_worker import codec
from python_worker.dispatch.call import Call
from python_worker.dispatch.declared_objects import DeclaredObjects, named
from python_worker.dispatch.engine_watch import Watches
from python_worker.dispatch.references import References
from python_worker.dispatch.served_classes import Constructors, ServedClass
from python_worker.dispatch.threads import in_thread
from python_worker.exceptions import NotServed


class Lifetimes:
    """Makes the objects of one worker, and forgets them when they have been shut down.

    Args:
        references: Where they are kept.
        watches: Those of engines.

    Attributes:
        declared: Those that belong to the worker and have a name.
    """

    def __init__(self, references: References, watches: Watches) -> None:
        self._references = references
        self._watches = watches
        self._endings: set[asyncio.Future[object]] = set()
        self.declared = DeclaredObjects(references, end=self._end_dead, keep=self._keep)

    async def begin(
        self, call: Call, served: ServedClass, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> None:
        """Carry out a constructor: the object lives until its shutdown, or until nobody holds it.

        Raises:
            NotServed: The class has no such constructor.
        """
        method, constructors = call.request.method, served.constructors
        if constructors is not None and method == constructors.declaring:
            made = await self._find(served, constructors, args, kwargs)
            built = False
        elif constructors is not None and method in constructors.names:
            made = await constructors.construct(method, args, kwargs)
            built = served.shutdown is not None
        else:
            names = () if constructors is None else sorted(constructors.names)
            raise NotServed(
                f"{served.name} has no class method {method!r} that is served; "
                f"without a reference there are {', '.join(names)}"
            )
        ref = self._references.hold(made, call.holder, served=served, pin=built)
        if served.watched and self._watches.of(made) is None:
            self._watches.begin(made, ref.id, ref.type)
        call.sink.add_reference(ref.id)
        call.return_value([codec.encode(made, register=lambda _: ref)], built=built)

    def end(
        self, target: object, shut_down: Callable[[], Awaitable[object]]
    ) -> asyncio.Future[object]:
        """Shut an object down and forget it.

        Returns:
            What the shutdown returns. It goes on when nobody waits for it.
        """
        watch = self._watches.of(target)
        if watch is not None:
            watch.expect_end()
        self._references.end_begins(target)
        ending = asyncio.ensure_future(self._end(target, shut_down))
        self._endings.add(ending)
        ending.add_done_callback(self._endings.discard)
        return ending

    async def _find(
        self,
        served: ServedClass,
        constructors: Constructors,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
    ) -> object:
        """The object that a name stands for, made now or before."""
        name, arguments = named(args, kwargs)
        make = functools.partial(constructors.construct, constructors.declared, [arguments], {})
        return await self.declared.find(served, name, arguments, make)

    async def _keep(self, made: object, served: ServedClass) -> None:
        """Begin to keep and to watch an object that belongs to no client."""
        entry = self._references.keep(made, served)
        if served.watched:
            self._watches.begin(made, entry.id, entry.type)

    async def _end(self, target: object, shut_down: Callable[[], Awaitable[object]]) -> object:
        result = await shut_down()
        self._forget(target)
        return result

    async def _end_dead(self, target: object, served: ServedClass) -> None:
        """End the life of an object that is dead already, as at the worker's stop."""
        if served.stop is not None:
            await in_thread(served.executor(target), functools.partial(served.stop, target))
        self._forget(target)

    def _forget(self, target: object) -> None:
        self._watches.end(target)
        self._references.unpin(target)
        if not any(self._references.pinned()):
            gc.unfreeze()  # What the engines were may now be collected.
