"""Names the engine argument in an error of vLLM's configurations.

They are checked by pydantic, which names fields of the configuration classes: most have the name of
the argument. The others are found by the words of the error. No configuration is made again for
it: that takes a second.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from python_worker.exceptions import BridgeError, Kind
from python_worker.failures import kind_of
from python_worker.validation.messages import shown


@contextmanager
def naming_arguments(given: Mapping[str, Any]) -> Iterator[None]:
    """Adds the argument and its value to what is raised meanwhile, if the caller gave it.

    Args:
        given: The engine arguments.
    """
    try:
        yield
    except Exception as error:
        if not isinstance(error, BridgeError) and kind_of(error) is Kind.INVALID:
            name_argument(error, given)
        raise


def name_argument(error: Any, given: Mapping[str, Any]) -> None:
    """Adds the argument that an error is about, where it can be told."""
    if getattr(error, "parameter", None) is not None:
        return
    problems = problems_of(error)
    places = [place for place, _words in problems]
    for place in places:
        if place and place[0] in given:
            error.parameter, error.value = ".".join(place), shown(value_at(given, place))
            return
    # A field of a configuration that was given as a map.
    for name, value in given.items():
        for place in places:
            if place and isinstance(value, Mapping) and place[0] in value:
                error.parameter = ".".join((name, *place))
                error.value = shown(value_at(value, place))
                return
    text = " ".join(words for _place, words in problems)
    found = {name: re.search(rf"\b{re.escape(name)}\b", text) for name in given}
    starts = {name: match.start() for name, match in found.items() if match is not None}
    if starts:
        first = min(starts, key=starts.__getitem__)
        error.parameter, error.value = first, shown(given[first])


def problems_of(error: Any) -> list[tuple[tuple[str, ...], str]]:
    """Where the problems of an error are, and what it says of each."""
    if not callable(getattr(error, "errors", None)):
        return [((), str(error))]
    return [(tuple(map(str, it["loc"])), str(it["msg"])) for it in error.errors()]


def value_at(value: Any, place: tuple[str, ...]) -> Any:
    """The part of a value at a place, as far as it is made of maps."""
    for key in place:
        if not isinstance(value, Mapping) or key not in value:
            return value
        value = value[key]
    return value
