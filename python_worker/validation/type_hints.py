"""Annotations as objects, as far as they can be had.

vLLM keeps annotations as text and imports some of the names in them for type
checkers only. One such name must not cost us the annotations beside it.
"""

from __future__ import annotations

import inspect
import sys
import typing
from collections.abc import Mapping
from typing import Any

import typing_extensions


def hints_of(owner: Any) -> dict[str, Any]:
    """The evaluated annotations of a function or class.

    Where one of them names something that is only imported for type checkers,
    the others are still had; that one is ``Any``.
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
    """One annotation as an object; ``Any`` where a name in it is nowhere to be had."""
    if isinstance(annotation, typing.ForwardRef):  # a TypedDict keeps these
        module = sys.modules.get(getattr(annotation, "__forward_module__", None) or "")
        return evaluate(annotation.__forward_arg__, {**names, **vars(module)} if module else names)
    if not isinstance(annotation, str):
        return annotation
    holder = type("Holder", (), {"__annotations__": {"it": annotation}})
    try:
        # A module that is only imported for type checkers, as torch often is,
        # is one that somebody else has imported for good.
        hints = typing_extensions.get_type_hints(
            holder, dict(names), dict(sys.modules), include_extras=True
        )
        return hints["it"]
    except NameError:
        return Any
