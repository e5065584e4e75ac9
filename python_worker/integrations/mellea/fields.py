"""The fields of the maps that a client sends: each is taken out and checked."""

from __future__ import annotations

from typing import Any, Final

from python_worker.exceptions import InvalidArgument
from python_worker.integrations.mellea import templates

_REQUIRED: Final = object()


def take(fields: dict[str, Any], name: str, cls: type, path: str, default: Any = _REQUIRED) -> Any:
    """Takes a field out of a map.

    Args:
        fields: The map, from which the field is removed.
        name: Of the field.
        cls: What its value has to be.
        path: Of the map, for messages.
        default: In place of a field that is missing; without it there must be one.

    Raises:
        InvalidArgument: It is missing, or its value is of another class.
    """
    value = fields.pop(name, default)
    if value is _REQUIRED:
        raise InvalidArgument(f"{path}: needs {name}", parameter=f"{path}.{name}")
    fits = isinstance(value, cls) and (cls is bool or not isinstance(value, bool))
    if fits or value is default:
        return value
    raise InvalidArgument(
        f"{path}.{name}: wants a {cls.__name__}, got {shown(value)}", parameter=f"{path}.{name}"
    )


def take_text(
    fields: dict[str, Any], name: str, variables: dict[str, Any] | None, path: str
) -> str | None:
    """Takes a text out of a map, and puts the variables into it, if there are any."""
    text = take(fields, name, str, path, None)
    return None if text is None else with_variables(text, variables, f"{path}.{name}")


def refuse_rest(fields: dict[str, Any], path: str) -> None:
    """Refuse what nobody has taken out of a map.

    Raises:
        InvalidArgument: There is a field.
    """
    if fields:
        name = next(iter(fields))
        raise InvalidArgument(
            f"{path}: there is no field {str(name)[:80]!r}", parameter=f"{path}.{name}"
        )


def with_variables(text: Any, variables: dict[str, Any] | None, path: str) -> str:
    """A text with the variables in it, if there are any. No template reaches the worker's objects.

    Raises:
        InvalidArgument: It is no text, or no template.
    """
    if not isinstance(text, str):
        raise InvalidArgument(f"{path}: wants a text, got {shown(text)}", parameter=path)
    if variables is None:
        return text
    return templates.filled(text, {str(name): value for name, value in variables.items()}, path)


def shown(value: object) -> str:
    """What a value is, for messages: the name of its class."""
    return type(value).__name__
