"""Types and defaults of a live class, as text and as JSON.

`typing` gives what the source means; this gives it back as what a person would write,
the same on every machine and every supported Python version.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import enum
import inspect
import math
import sys
import types
import typing
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, TypeVar, Union

import typing_extensions

REQUIRED = object()
"""In place of a default: there is none."""

_UNIONS = (Union, types.UnionType)
_WRAPPERS = (typing_extensions.NotRequired, typing_extensions.Required, typing.Final)
_PLAIN = (bool, int, str, type(None))


@dataclasses.dataclass(frozen=True)
class Factory:
    """A default that is made anew for each object."""

    make: Callable[[], object]


def default_of(default: object, factory: Any) -> object:
    """Brings a dataclass's or msgspec's pair of default and factory into one value."""
    if not _is_missing(default):
        return default
    return REQUIRED if _is_missing(factory) else Factory(factory)


def _is_missing(value: object) -> bool:
    # msgspec's marker by name, so that the other classes can be described without msgspec.
    return value is dataclasses.MISSING or type(value).__name__ == "NoDefaultType"


def literal(value: object) -> object:
    """Gives a default as JSON, or as `{"enum": …}` or `{"repr": …}` where JSON has no word.

    A factory is run only where it is the empty list or dict, or a lambda, which vLLM uses
    for lists. Otherwise it stays a name: what a configuration class makes of itself may
    depend on the machine.
    """
    if isinstance(value, enum.Enum):
        return {"enum": f"{type(value).__name__}.{value.name}"}
    if isinstance(value, Factory):
        name = getattr(value.make, "__name__", type(value.make).__name__)
        if name in ("list", "dict", "<lambda>") and _is_json(made := value.make()):
            return made
        return {"repr": f"{name}()"}
    if isinstance(value, tuple) and not value:
        return []
    if _is_json(value):
        return value
    name = getattr(value, "__name__", None) or type(value).__name__
    return {"repr": name if callable(value) else f"{name}(...)"}


def _is_json(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, list):
        return all(_is_json(item) for item in value)
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_json(item) for key, item in value.items())
    return type(value) in _PLAIN


def of(thing: Any) -> dict[str, Any]:
    """Resolves the annotations of a class (its parents' too) or of a function.

    One name at a time: a single name that exists only for type checkers would make
    `typing.get_type_hints` refuse all.
    """
    if not isinstance(thing, type):
        return _resolved(getattr(thing, "__annotations__", {}), thing)
    if not typing_extensions.is_typeddict(thing) and not hasattr(thing, "__dataclass_fields__"):
        own = inspect.get_annotations(thing)
        if not own and not hasattr(thing, "__struct_fields__"):
            found = of(inspect.getattr_static(thing, "__init__"))
            return {name: _bound(hint, thing) for name, hint in found.items()}
    found = {}
    for base in reversed(thing.__mro__):
        found |= _resolved(inspect.get_annotations(base), base)
    return found


def _resolved(written: Mapping[str, Any], owner: Any) -> dict[str, Any]:
    module = sys.modules.get(getattr(owner, "__module__", ""))
    names = vars(module) if module else {}
    return {name: resolve(hint, names) for name, hint in written.items()}


def resolve(hint: Any, names: Mapping[str, Any]) -> Any:
    """Evaluates an annotation that is still text; what cannot be stays text."""
    if isinstance(hint, typing.ForwardRef):
        hint = hint.__forward_arg__
    if not isinstance(hint, str):
        return hint
    try:
        return eval(hint, dict(names))
    except Exception:  # a name under `if TYPE_CHECKING`, most often
        return hint


def _bound(hint: Any, cls: type) -> Any:
    """Puts what a subclass says in place of its generic parent's type variable."""
    if not isinstance(hint, TypeVar):
        return hint
    for base in getattr(cls, "__orig_bases__", ()):
        arguments = [a for a in typing.get_args(base) if not isinstance(a, TypeVar)]
        if arguments:
            return arguments[0]
    return getattr(hint, "__default__", Any)


def text(hint: Any) -> str:
    """Writes a resolved annotation the way a person would, without modules."""
    if isinstance(hint, str):
        return hint
    if isinstance(hint, typing.ForwardRef):
        return hint.__forward_arg__
    if hint is None or hint is type(None):
        return "None"
    if hint is Ellipsis:
        return "..."
    if hint in (inspect.Parameter.empty, Any):
        return "Any"
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if isinstance(hint, list):  # the parameters of a Callable
        return f"[{', '.join(map(text, hint))}]"
    if origin is Annotated or origin in _WRAPPERS:
        return text(arguments[0])
    if origin in _UNIONS:
        # None last, as people write it; typing keeps whatever order it met.
        parts = list(dict.fromkeys(text(a) for a in arguments if a is not type(None)))
        return " | ".join([*parts, "None"] if type(None) in arguments else parts)
    if origin is Literal:
        return f"Literal[{', '.join(map(repr, arguments))}]"
    name = getattr(origin or hint, "__name__", None) or str(hint)
    if origin is collections.abc.Callable and not arguments:
        return "Callable"
    return f"{name}[{', '.join(map(text, arguments))}]" if arguments else name


def enums_in(hint: Any) -> set[type[enum.Enum]]:
    """Finds the enum classes anywhere in an annotation."""
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return {hint}
    found: set[type[enum.Enum]] = set()
    if typing.get_origin(hint) is not Literal:
        for argument in typing.get_args(hint):
            found |= enums_in(argument)
    return found
