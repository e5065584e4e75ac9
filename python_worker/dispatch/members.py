"""The members of an object that a call may name: which are found, and what they are.

A client reaches public methods, and properties without arguments. An engine
shows less: what its class declares, and copies of a few fields.
"""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from python_worker.exceptions import InvalidArgument, NotServed, Unsupported

# Plain methods of an engine that only read a field, or need the event loop.
IMMEDIATE = frozenset(
    {
        "_run_output_handler",
        "check_admission",
        "get_kv_event_sources",
        "get_num_queued_tokens",
        "get_num_unfinished_requests",
        "get_tokenizer",
    }
)

# Methods that vLLM keeps to itself, and earlier clients know by name: None where
# they are served, otherwise why not.
INTERNAL: Mapping[str, str | None] = {
    "_run_output_handler": None,
    "_add_request": "it takes a request past vLLM's validation; use add_request",
}

# Fields of an engine that are served: each as a copy, so that no call on it
# reaches the engine.
FIELDS: Mapping[str, Callable[[Any], object]] = {"vllm_config": copy.deepcopy}

# Longer ones are nobody's, and would be kept with what was found out about them.
MAX_NAME = 256

_NONE = object()


def find_member(target: object, name: str, *, on_engine: bool) -> Any:
    """A public method, or the value of a public property or field.

    An engine shows what its class declares and the fields in ``FIELDS``: others
    lead to vLLM's internals, where a call can do anything. A class may say in
    ``__served__`` what it shows.

    Raises:
        NotServed: There is none of that name, or it is private.
        Unsupported: It is one of vLLM's own, which has a substitute.
    """
    cls: Any = type(target)  # to mypy a class cannot be hashed
    if len(name) > MAX_NAME:
        raise NotServed(f"{name[:MAX_NAME]!r}… is not a public method")
    member: Any = _NONE
    if _shows(cls, name, on_engine):
        member = getattr(target, name, _NONE)
    elif on_engine and name in vars(target) and _declared(cls, name) is None:
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
def _shows(cls: type, name: str, on_engine: bool) -> bool:
    """Whether objects of a class show what they have under a name."""
    if on_engine and (reason := INTERNAL.get(name)):
        raise Unsupported(f"{name} is not served: {reason}", method=name)
    private = name.startswith("_") and not (on_engine and name in INTERNAL)
    if private or not name.isidentifier():
        raise NotServed(f"{name!r} is not a public method", method=name)
    served = getattr(cls, "__served__", None)
    if served is not None and name not in served:
        return False
    return not on_engine or name in FIELDS or _declared(cls, name) is not None


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
