"""Evaluates annotations that are kept as text.

vLLM imports some of the names in its annotations for type checkers only, so they cannot be
evaluated at run time. The other annotations of the same function or class still can.
"""

from __future__ import annotations

import inspect
import sys
import typing
from collections.abc import Mapping
from typing import Any

import typing_extensions


def hints_of(owner: Any) -> dict[str, Any]:
    """Returns the evaluated annotations of a function or class.

    An annotation with a name that is only imported for type checkers becomes ``Any``.
    """
    try:
        return typing_extensions.get_type_hints(owner, include_extras=True)
    except NameError:
        pass
    classes = reversed(owner.__mro__) if inspect.isclass(owner) else [owner]
    hints: dict[str, Any] = {}
    for cls in classes:
        names = vars(inspect.getmodule(cls)) if inspect.getmodule(cls) else {}
        for name, text in getattr(cls, "__annotations__", {}).items():
            hints[name] = evaluate(text, names)
    return hints


def evaluate(annotation: object, names: Mapping[str, object]) -> object:
    """Returns an annotation as an object; ``Any`` if a name in it is not defined anywhere."""
    if isinstance(annotation, typing.ForwardRef):  # a TypedDict keeps these
        module = sys.modules.get(getattr(annotation, "__forward_module__", None) or "")
        return evaluate(annotation.__forward_arg__, {**names, **vars(module)} if module else names)
    if not isinstance(annotation, str):
        return annotation
    holder = type("Holder", (), {"__annotations__": {"it": annotation}})
    try:
        # A module such as torch, which the annotation's own module imports for type checkers only,
        # has usually been imported by another one.
        hints = typing_extensions.get_type_hints(
            holder, dict(names), dict(sys.modules), include_extras=True
        )
        return hints["it"]
    except NameError:
        return Any
