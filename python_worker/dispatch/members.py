"""The members of an object that a call may name: which are found, and what they are.

A client reaches public methods, and properties without arguments, as far as the policy of the
class shows them.
"""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from python_worker.dispatch.served_classes import ServedClass
from python_worker.exceptions import InvalidArgument, NotServed, Unsupported

# Longer ones are nobody's, and would be kept with what was found out about them.
MAX_NAME = 256

_NONE = object()


def find_member(target: object, name: str, served: ServedClass) -> Any:
    """A public method, or the value of a public property or field.

    A policy with ``only_declared`` serves what the class declares and the fields in ``copied``:
    others lead to vLLM's internals, where a call can do anything.

    Raises:
        NotServed: There is none of that name, or it is private.
        Unsupported: It is one of vLLM's own, which has a substitute.
    """
    cls: Any = type(target)  # to mypy a class cannot be hashed
    if len(name) > MAX_NAME:
        raise NotServed(f"{name[:MAX_NAME]!r}… is not a public method")
    if (added := served.added.get(name)) is not None:
        return types.MethodType(added, target)
    member: Any = _NONE
    if _shows(cls, name, served):
        member = getattr(target, name, _NONE)
    elif served.only_declared and name in vars(target) and _declared(cls, name) is None:
        raise NotServed(
            f"{cls.__name__}.{name} is a field that leads into the engine, where a call on it "
            "could do anything; it is not served",
            method=name,
        )
    if member is _NONE:
        raise NotServed(f"{cls.__name__} has no method {name!r}", method=name)
    return member


# Both are kept: a look through the eleven classes of an engine was two thirds of the dispatch of a
# small call.
@functools.lru_cache(maxsize=1024)
def _shows(cls: type, name: str, served: ServedClass) -> bool:
    """Whether objects of a class show what they have under a name."""
    if reason := served.refused.get(name):
        raise Unsupported(f"{name} is not served: {reason}", method=name)
    if served.constructors is not None and name in served.constructors.names:
        # Made here, it would be served without its policy, and nobody would shut it down.
        raise Unsupported(
            f"{name} makes another {served.name}: call it by the class's name, without a reference",
            method=name,
        )
    private = name.startswith("_") and name not in served.private
    if private or not name.isidentifier():
        raise NotServed(f"{name!r} is not a public method", method=name)
    if served.shown is not None and name not in served.shown:
        return False
    if not served.only_declared or name in served.copied:
        return True
    return _declared(cls, name) is not None


@functools.lru_cache(maxsize=1024)
def _declared(cls: type, name: str) -> object:
    """What a class declares under a name, None for nothing; runs no code of it."""
    return inspect.getattr_static(cls, name, None)


def is_method(target: object, name: str, member: object) -> bool:
    """Whether a member is to be called: not the value of a property, such as a tokenizer.

    Tokenizers can be called too, and so would be.
    """
    cls: Any = type(target)  # to mypy a class cannot be hashed
    return callable(member) and not isinstance(_declared(cls, name), property)


def returns_at_once(member: Callable[..., Any]) -> bool:
    """Whether calling it only makes a coroutine or an async generator."""
    return inspect.iscoroutinefunction(member) or inspect.isasyncgenfunction(member)


def refuse_arguments(name: str, args: Sequence[Any], kwargs: Mapping[str, object]) -> None:
    """A property takes no arguments."""
    if args or kwargs:
        raise InvalidArgument(f"{name} is a property and takes no arguments", method=name)
