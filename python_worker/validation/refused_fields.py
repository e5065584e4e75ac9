"""Finds which fields of an object its class refuses.

vLLM's errors often do not say so. No rule of vLLM's is repeated here: the object is made again with
fewer of the fields, as long as the same line of vLLM's raises. Those that remain are refused
together. Nothing is sent to an engine for it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

Build = Callable[[Mapping[str, Any]], object]
"""Makes the object of some fields, or raises."""

OWN_PACKAGE = __name__.partition(".")[0]

# Left out first: a try with it compiles a grammar.
EXPENSIVE = ("structured_outputs",)


def refused_fields(
    given: Mapping[str, Any], error: Exception, build: Build, *, kept: Collection[str] = ()
) -> list[str]:
    """The fewest fields that are refused by the same line; the one to blame comes first.

    Args:
        given: The fields, each with its value.
        error: What ``build`` raised for all of them.
        build: Makes the object. It must have no effect but its result.
        kept: Fields without which there is no object. They are blamed if the error names them.

    Returns:
        Empty where the class refuses that fields are missing.
    """
    named = getattr(error, "parameter", None)
    if isinstance(named, str) and named in given:
        return [named]
    words, place = str(error), _place(error)

    def is_refused(names: Iterable[str]) -> bool:
        chosen = {*names, *kept}
        try:
            build({name: value for name, value in given.items() if name in chosen})
        except Exception as other:
            return _place(other) == place
        return False

    names = sorted((it for it in given if it not in kept), key=lambda it: _position(it, words))
    needed: list[str] = []
    if not is_refused([]):
        alone = next((it for it in names if is_refused([it])), None)
        needed = [alone] if alone is not None else _fewest(names, is_refused)
    needed += [it for it in kept if it in given and _position(it, words) < len(words)]
    return sorted(needed, key=lambda it: _position(it, words))


def _fewest(names: list[str], is_refused: Callable[[Iterable[str]], bool]) -> list[str]:
    """Leaves out one field after the other, those that the error names last."""
    needed = list(names)
    last_first = names[::-1]
    for name in sorted(last_first, key=lambda it: it not in EXPENSIVE):
        fewer = [it for it in needed if it != name]
        if is_refused(fewer):
            needed = fewer
    return needed


def _place(error: Exception) -> object:
    """The line that raised an error; its text too where that was a class written in C."""
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    if traceback is None:
        return (type(error), str(error))
    frame = traceback.tb_frame
    if str(frame.f_globals.get("__name__", "")).startswith(OWN_PACKAGE):
        return (type(error), str(error))
    return (type(error), frame.f_code, traceback.tb_lineno)


def _position(name: str, words: str) -> int:
    """Where a text names a field; its length where it does not."""
    found = re.search(rf"\b{re.escape(name)}\b", words)
    return len(words) if found is None else found.start()
