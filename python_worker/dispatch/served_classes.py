"""What a client may do with the objects of a class: one policy per class.

The dispatcher knows no class. Whatever differs between classes is a field of ``ServedClass``, and
``surface`` has the list of them. Objects of any other class, such as a tokenizer, are served by
``OTHER``: their public methods and properties, nothing special.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any, Final

from python_worker.codec.reducers import keep_by_reference
from python_worker.exceptions import NotServed
from python_worker.validation.renamed_parameters import GivenArguments

Construct = Callable[[str, Sequence[Any], Mapping[str, Any]], Awaitable[object]]
"""Makes an object, from the constructor's name and arguments that nobody has checked."""


@dataclass(frozen=True)
class Constructors:
    """How clients make an object of a class.

    Attributes:
        names: Of the class methods that make one; ``new`` is the class itself.
        construct: Carries one out, and checks its arguments.
        declaring: Takes a name and the arguments of ``declared``. All clients that give the same
            name get the same object (see ``declared_objects``).
        declared: Of ``names``, what makes the object that ``declaring`` finds.
    """

    names: Collection[str]
    construct: Construct
    declaring: str | None = None
    declared: str = ""


@dataclass(frozen=True, eq=False, kw_only=True)
class ServedClass:
    """The policy of one class. The defaults are those of objects without a row.

    Attributes:
        name: Under which clients know the class, and its objects' references.
        cls: The Python class whose objects have this policy, where it can be named without
            importing vLLM; objects that ``constructors`` make have it in any case.
        constructors: How an object is made; None where clients cannot make one.
        singleton: The object that stands for the class: its methods are called by the class's
            name, without a reference.
        shown: The only members that are served; None for all public ones.
        only_declared: Serve what the class declares, and no field that an object was given.
        private: Members that are served although their name begins with an underscore.
        refused: Members that are not served although they exist, and why.
        added: Methods that the worker adds to the objects: functions whose first argument is the
            object.
        copied: Fields that are served as a copy, and how to copy one. It runs in a thread.
        strict: Check every argument against its annotation, and convert none.
        immediate: Plain methods that return at once. All others run in a thread.
        executor: Gives where an object's plain methods run; None for the worker's own threads.
        progress: The methods that tell their client how far they have come.
        translations: By method: renames the parameters of earlier versions, in place.
        results: By method: converts a result to the documented one.
        wrapped: By method: awaits what the method returned, given the object, and returns the
            result in its place.
        shutdown: The method that ends an object's life. It runs to its end even when its caller
            leaves. Until then an object lives, whoever holds it.
        stop: Ends an object's life at the worker's stop; it may block.
        at_stop: Of a singleton: called when the worker stops, after the last call has ended; ends
            what the objects of its class have started.
        watched: Whether the objects are engines whose death and stalls are to be announced.
        owner: The object whose life an object's calls depend on.
        death: Why an object is dead; None while it lives.
        abort: Aborts the requests of a stream that ends early, by the ids that the engine gave
            them. Without it a stream is accepted before its first item.
        outputs: Methods that stream vLLM's outputs of a generation, of which a client may ask for
            the texts or token ids alone.
        released: Called when no client holds an object any more.
        limited: Whether calls count towards the limit of calls.
        unlimited: Methods that do not count: they free capacity or report load.
        inference: Members that a client may use whose role is limited to inference: what asks for
            outputs, and what only reports. None of them changes anything for other clients.
    """

    name: str = ""
    cls: type | None = None
    constructors: Constructors | None = None
    singleton: object = None
    shown: frozenset[str] | None = None
    only_declared: bool = False
    private: frozenset[str] = frozenset()
    refused: Mapping[str, str] = field(default_factory=dict)
    added: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    copied: Mapping[str, Callable[[Any], object]] = field(default_factory=dict)
    strict: bool = False
    immediate: frozenset[str] = frozenset()
    executor: Callable[[Any], Executor | None] = lambda target: None
    progress: frozenset[str] = frozenset()
    translations: Mapping[str, Callable[[GivenArguments], None]] = field(default_factory=dict)
    results: Mapping[str, Callable[[Any], Any]] = field(default_factory=dict)
    wrapped: Mapping[str, Callable[[Any, Awaitable[Any]], Awaitable[object]]] = field(
        default_factory=dict
    )
    shutdown: str | None = None
    stop: Callable[[Any], None] | None = None
    at_stop: Callable[[], Awaitable[None]] | None = None
    watched: bool = False
    owner: Callable[[Any], object] = lambda target: target
    death: Callable[[Any], BaseException | None] = lambda target: None
    abort: Callable[[Any, list[str]], Awaitable[None]] | None = None
    outputs: frozenset[str] = frozenset()
    released: Callable[[Any], None] | None = None
    limited: bool = True
    unlimited: frozenset[str] = frozenset()
    inference: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        """Refuse a row whose objects would outlive the worker's stop.

        Raises:
            ValueError: It has a shutdown and no stop, or a stop and no shutdown.
        """
        if (self.shutdown is None) != (self.stop is None):
            raise ValueError(f"{self.name}: a class has both `shutdown` and `stop`, or neither")

    def counts(self, method: str) -> bool:
        """Whether a call of a method counts towards the limit."""
        return self.limited and method not in self.unlimited

    def documented(self, method: str, result: Any) -> Any:
        """A result as the class documents it."""
        convert = self.results.get(method)
        return result if convert is None else convert(result)


OTHER: Final = ServedClass()
"""The policy of objects without a row."""


class ServedClasses:
    """The rows of ``surface``, by name and by Python class."""

    def __init__(self, rows: Iterable[ServedClass]) -> None:
        self._by_name = {row.name: row for row in rows}
        self._by_class = {row.cls: row for row in self._by_name.values() if row.cls is not None}
        for cls in self._by_class:
            keep_by_reference(cls)

    def rows(self) -> Iterable[ServedClass]:
        """All of them, in the order of ``surface``."""
        return self._by_name.values()

    def named(self, name: str) -> ServedClass:
        """The class that a call names.

        Raises:
            NotServed: There is none of that name that can be called without a reference.
        """
        row = self._by_name.get(name)
        if row is None or (row.constructors is None and row.singleton is None):
            raise NotServed(
                f"no class {name!r} is served; there are {', '.join(self._reachable())}"
            )
        return row

    def of(self, target: object) -> ServedClass:
        """The policy of an object that no constructor of ours has made."""
        for cls in type(target).__mro__:
            if (row := self._by_class.get(cls)) is not None:
                return row
        return OTHER

    async def stop(self) -> None:
        """The worker stops: end what the classes have started."""
        rows = self._by_name.values()
        await asyncio.gather(*(row.at_stop() for row in rows if row.at_stop is not None))

    def _reachable(self) -> list[str]:
        return sorted(
            name
            for name, row in self._by_name.items()
            if row.constructors is not None or row.singleton is not None
        )
