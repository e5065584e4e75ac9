"""Tools that the model is offered, and the arguments that it wrote for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from mellea.backends.tools import MelleaTool, validate_tool_arguments
from mellea.backends.utils import to_tool_calls
from pydantic import ValidationError

from python_worker.exceptions import InvalidArgument, Unsupported
from python_worker.integrations.mellea.fields import refuse_rest, shown, take


def tools(values: Sequence[Any] | None) -> dict[str, MelleaTool[..., Any]] | None:
    """Tools by name, each with a name and a schema. Their functions are the client's.

    Raises:
        InvalidArgument: One is no map of a name, a description and a schema.
    """
    if values is None:
        return None
    made = {}
    for index, value in enumerate(values):
        path = f"tools[{index}]"
        if not isinstance(value, dict):
            raise InvalidArgument(f"{path}: wants a map, got {shown(value)}", parameter=path)
        fields = dict(value)
        name = take(fields, "name", str, path)
        description = take(fields, "description", str, path, None) or ""
        parameters = take(fields, "parameters", dict, path, None) or {}
        fields.pop("strict", None)
        refuse_rest(fields, path)
        for part, cls in (("properties", dict), ("required", list)):
            take(dict(parameters), part, cls, f"{path}.parameters", None)
        schema = {"type": "object", **parameters}
        schema["properties"] = parameters.get("properties") or {}
        function = {"name": name, "description": description, "parameters": schema}
        made[name] = MelleaTool(name, _not_here, {"type": "function", "function": function})
    return made


def _not_here(*args: Any, **kwargs: Any) -> Any:
    raise Unsupported("the functions of tools run in the client")


def validated(
    tool: Any, args: dict[str, Any], *, coerce_types: bool, strict: bool
) -> dict[str, Any]:
    """The arguments of a call of a tool, made to fit the tool's schema where that is possible.

    Args:
        tool: As in ``tools``.
        args: What the model wrote.
        coerce_types: Whether ``"3"`` is 3 for an integer.
        strict: Whether arguments that do not fit are refused; otherwise they stay as they are.

    Raises:
        InvalidArgument: The tool is none, its schema is none, or ``strict`` arguments do not fit.
    """
    made = tools([tool])
    (known,) = (made or {}).values()
    try:
        return dict(validate_tool_arguments(known, args, coerce_types=coerce_types, strict=strict))
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()
        )
        raise InvalidArgument(f"args: {problems}", parameter="args") from None
    except _OF_SCHEMAS as error:
        raise wrong_schema(error) from error


_OF_SCHEMAS: Final = (AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What mellea raises when it reads a schema that is none."""


def calls_in(offered: Mapping[str, Any], text: str) -> list[Any] | None:
    """The calls of tools in a text, as mellea finds them; None where there are none.

    Raises:
        InvalidArgument: The schema of a tool is none.
    """
    try:
        found: list[Any] | None = to_tool_calls(dict(offered), text)
    except _OF_SCHEMAS as error:
        raise wrong_schema(error) from error
    return found


def wrong_schema(error: Exception) -> InvalidArgument:
    """What to tell a client whose schema mellea cannot read."""
    return InvalidArgument(
        f"tools: mellea cannot read the schema of a tool's parameters: {error}", parameter="tools"
    )
