"""The rare fields of vLLM's parameter classes, taken from the manifest of vLLM's surface.

The fake engine does nothing with them. It has to have them, because an application gives its
engine and its requests whatever vLLM takes, and is not to be refused for that in a test alone.
What they hold is not checked: their annotations name classes that only vLLM has.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

MANIFEST = Path(__file__).resolve().parents[2] / "generated" / "manifest.json"


def with_rare_fields(cls: type[T]) -> type[T]:
    """Adds the fields that a dataclass lacks of vLLM's class of the same name; a decorator."""
    known = {field.name for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    rare = [
        (field["name"], Any, dataclasses.field(default_factory=_factory(field.get("default"))))
        for field in _classes()[cls.__name__]["fields"]
        if field["name"] not in known
    ]
    frozen = cls.__dataclass_params__.frozen  # type: ignore[attr-defined]
    made = dataclasses.make_dataclass(cls.__name__, rare, bases=(cls,), frozen=frozen)
    made.__module__, made.__qualname__ = cls.__module__, cls.__qualname__
    made.__doc__ = cls.__doc__
    return made


def _factory(default: Any) -> Any:
    """Makes the default; None for what only vLLM could make."""
    if default == {"repr": "set()"}:
        return set
    if isinstance(default, dict) and default.keys() & {"repr", "enum"}:
        default = None
    return functools.partial(copy.deepcopy, default)


@functools.cache
def _classes() -> Mapping[str, Any]:
    classes: Mapping[str, Any] = json.loads(MANIFEST.read_text(encoding="utf-8"))["classes"]
    return classes
