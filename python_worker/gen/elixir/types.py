"""Python types and defaults, as Elixir types and terms."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

from python_worker.gen.elixir.text import string

_SCALARS = {
    "int": "integer()",
    "bool": "boolean()",
    "str": "String.t()",
    "bytes": "binary()",
    "None": "nil",
    "dict": "map()",
    "list": "list()",
    "tuple": "tuple()",
    "set": "MapSet.t()",
}
_TENSORS = {"ndarray", "Tensor"}
_LISTS = {"list", "Sequence", "MutableSequence", "Iterable"}
_MAPS = {"dict", "Mapping", "MutableMapping"}
_SETS = {"set", "frozenset"}

_SENT_AS_LIST = {"FlatLogprobs"}
"""Travels as the list of maps it stands for, which its union has beside it."""

ANY = "term()"


class Types:
    """Turns the manifest's types into typespecs.

    Args:
        classes: The manifest's classes, by short name.
        sent: Whether the struct is made by a user and sent to Python. Then an integer
            will do for a float, and a keyword list or map for a struct. In what Python
            sends, a float may be one of the atoms for what is not a number.
    """

    def __init__(self, classes: dict[str, Any], *, sent: bool) -> None:
        self._classes = classes
        self._sent = sent

    def field(self, field: dict[str, Any]) -> str:
        """Gives the typespec of a field, with what its default adds to the type."""
        members = self._union(ast.parse(field.get("type", field["annotation"]), mode="eval").body)
        default = "" if field.get("required") else term(field["default"])
        if default in ("nil", ":default") and ANY not in members and default not in members:
            members.append(default)
        return " | ".join(members)

    def _type(self, node: ast.expr) -> str:
        return " | ".join(self._union(node))

    def _union(self, node: ast.expr) -> list[str]:
        members = list(dict.fromkeys(self._members(node)))
        if ANY in members:
            return [ANY]
        # nil last, as in the Python annotation.
        return sorted(members, key=lambda member: member == "nil")

    def _members(self, node: ast.expr) -> list[str]:
        match node:
            case ast.BinOp(left=left, op=ast.BitOr(), right=right):
                return [*self._members(left), *self._members(right)]
            case ast.Constant(value=None):
                return ["nil"]
            case ast.Name(id=name) | ast.Attribute(attr=name):
                return self._name(name)
            case ast.Subscript(value=ast.Name(id=name), slice=ast.Tuple(elts=arguments)):
                return self._generic(name, arguments)
            case ast.Subscript(value=ast.Name(id=name), slice=argument):
                return self._generic(name, [argument])
        return [ANY]

    def _name(self, name: str) -> list[str]:
        if name in _SENT_AS_LIST:
            return []
        if name in _SCALARS:
            return [_SCALARS[name]]
        if name == "float":
            if self._sent:
                return ["number()"]
            return ["float()", ":nan", ":infinity", ":neg_infinity"]
        if name in _TENSORS:
            return ["Vllm.Tensor.t()", "list()"] if self._sent else ["Vllm.Tensor.t()"]
        if name in self._classes:
            struct = self._classes[name]["kind"] != "enum"
            also = ["keyword()", "map()"] if self._sent and struct else []
            return [f"Vllm.{name}.t()", *also]
        return [ANY]

    def _generic(self, name: str, arguments: list[ast.expr]) -> list[str]:
        if name == "Literal":
            return [_literal(argument) for argument in arguments]
        if name in _LISTS:
            return [f"[{self._type(arguments[0])}]"]
        if name in _SETS:
            return [f"MapSet.t({self._type(arguments[0])})"]
        if name in _MAPS:
            key, value = map(self._type, arguments)
            return [f"%{{optional({key}) => {value}}}"]
        if name == "tuple" and not any(ast.unparse(a) == "..." for a in arguments):
            return [f"{{{', '.join(map(self._type, arguments))}}}"]
        return ["tuple()"] if name == "tuple" else [ANY]


def _literal(node: ast.expr) -> str:
    value = node.value if isinstance(node, ast.Constant) else None
    # Elixir has no types for single strings.
    return "String.t()" if isinstance(value, str) else str(value).lower()


def choices(python_type: str) -> list[str]:
    """Gives the values that a type with `Literal[…]` in it lists, as Elixir terms."""
    found = []
    for node in ast.walk(ast.parse(python_type, mode="eval")):
        match node:
            case ast.Subscript(value=ast.Name(id="Literal"), slice=ast.Tuple(elts=values)):
                found += [term(v.value) for v in values if isinstance(v, ast.Constant)]
    return found


def as_sent(python_type: str) -> str:
    """Leaves out of a type what never travels as itself."""
    parts = python_type.split(" | ")
    return " | ".join(part for part in parts if part not in _SENT_AS_LIST)


def term(default: object) -> str:
    """Gives a default of the manifest as an Elixir term: `:default` where only vLLM knows it."""
    if isinstance(default, dict) and "enum" in default:
        return ":" + str(default["enum"]).rpartition(".")[2]
    if isinstance(default, dict) and "repr" in default:
        return ":default"
    if isinstance(default, list):
        return f"[{', '.join(map(term, default))}]"
    if isinstance(default, dict):
        return f"%{{{', '.join(f'{string(k)} => {term(v)}' for k, v in default.items())}}}"
    for kind, write in _WRITERS:
        if isinstance(default, kind):
            return write(default)
    raise ValueError(f"no Elixir term for the default {default!r}")


_WRITERS: tuple[tuple[type, Callable[[Any], str]], ...] = (
    (type(None), lambda _: "nil"),
    (bool, lambda value: str(value).lower()),
    (int, str),
    (float, repr),
    (str, string),
)
