"""Two surfaces compared: what was added (+), removed (-) and changed (~), as lines to read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

from python_worker.gen.drift.surface import Class, Method, Surface, Value

T = TypeVar("T", Value, Method)


def report(ours: Surface, other: Surface) -> list[str]:
    """Compares two surfaces.

    Returns:
        The lines of the report; none where there is no difference.
    """
    lines: list[str] = []
    redocumented: list[str] = []
    for name in dict.fromkeys([*ours.classes, *other.classes]):
        mine, theirs = ours.classes.get(name), other.classes.get(name)
        if mine is None or theirs is None:
            lines += ["", f"{'-' if mine else '+'} {name}"]
            continue
        if differences := list(_class(mine, theirs)):
            lines += ["", name, *(f"  {line}" for line in differences)]
        redocumented += _redocumented(name, mine, theirs)
    if redocumented:
        lines += ["", "Other docstrings", *(f"  {name}" for name in redocumented)]
    return lines


def _class(mine: Class, theirs: Class) -> Iterator[str]:
    if mine.qualname != theirs.qualname:
        yield f"~ moved: {mine.qualname} -> {theirs.qualname}"
    yield from _named(mine.methods, theirs.methods, "")
    # An enum's members have no types.
    is_enum = not any(field.annotation for field in (*mine.fields, *theirs.fields))
    yield from _named(mine.fields, theirs.fields, "member " if is_enum else "field ")
    yield from (f"+ attribute {a}" for a in theirs.attributes if a not in mine.attributes)
    yield from (f"- attribute {a}" for a in mine.attributes if a not in theirs.attributes)


def _named(mine: Sequence[T], theirs: Sequence[T], word: str) -> Iterator[str]:
    """Compares what has names: methods, parameters, fields."""
    before = {item.name: item for item in mine}
    after = {item.name: item for item in theirs}
    yield from (f"+ {word}{_shown(item)}" for name, item in after.items() if name not in before)
    yield from (f"- {word}{_shown(item)}" for name, item in before.items() if name not in after)
    for name, item in before.items():
        if name in after and (changes := list(_changes(item, after[name]))):
            yield f"~ {word}{name}"
            yield from (f"    {change}" for change in changes)


def _changes(mine: Value | Method, theirs: Value | Method) -> Iterator[str]:
    if isinstance(mine, Method) and isinstance(theirs, Method):
        yield from _changed("kind", mine.kind, theirs.kind)
        yield from _changed("returns", mine.returns, theirs.returns)
        yield from _named(mine.parameters, theirs.parameters, "")
        yield from _reordered(mine.parameters, theirs.parameters)
    if isinstance(mine, Value) and isinstance(theirs, Value):
        yield from _changed("kind", mine.kind, theirs.kind)
        yield from _changed("type", mine.annotation, theirs.annotation)
        yield from _changed("default", mine.default or "none", theirs.default or "none")


def _changed(what: str, mine: str, theirs: str) -> Iterator[str]:
    if mine != theirs:
        yield f"{what}: {mine or 'none'} -> {theirs or 'none'}"


def _reordered(mine: Sequence[Value], theirs: Sequence[Value]) -> Iterator[str]:
    """Compares the order of those that both have and that are passed by position in both."""
    before = [p.name for p in mine if p.kind == "positional"]
    after = [p.name for p in theirs if p.kind == "positional"]
    kept = [name for name in before if name in after]
    order = [name for name in after if name in before]
    if kept != order:
        yield f"order: {', '.join(kept)} -> {', '.join(order)}"
    # One that was put in the middle takes the place of what follows.
    elif after[: len(before)] != before and len(kept) == len(before):
        yield f"order: {', '.join(before)} -> {', '.join(after)}"


def _shown(item: Value | Method) -> str:
    if isinstance(item, Method):
        parameters = ", ".join(_shown(parameter) for parameter in item.parameters)
        returns = f" -> {item.returns}" if item.returns else ""
        return f"{item.name}({parameters}){returns}  [{item.kind}]"
    text = item.name + (f": {item.annotation}" if item.annotation else "")
    text += f" = {item.default}" if item.default is not None else ""
    return f"{text} ({item.kind})" if item.kind not in ("", "positional") else text


def _redocumented(name: str, mine: Class, theirs: Class) -> Iterator[str]:
    if mine.doc != theirs.doc:
        yield name
    docs = {method.name: method.doc for method in theirs.methods}
    for method in mine.methods:
        if docs.get(method.name, method.doc) != method.doc:
            yield f"{name}.{method.name}"
