"""Types that the encoder, the decoder and their callers share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple


class RefParts(NamedTuple):
    """The parts of a reference to an object of this worker."""

    incarnation: str
    id: str
    type: str


@dataclass(frozen=True, slots=True)
class Record:
    """A struct from Elixir, before `validation` makes an object of the class of that name.

    Attributes:
        name: The class's short name, such as ``SamplingParams``.
        fields: The fields that differ from the struct's defaults.
    """

    name: str
    fields: dict[str, object]


Register = Callable[[object], RefParts]
"""Registers an object that is sent as a reference."""

FailureBytes = Callable[[BaseException], bytes]
"""Returns the serialized ``Failure`` of an exception."""

Resolve = Callable[[str, str], object]
"""Returns the object of a reference, by the incarnation and the id."""

OpenStream = Callable[[], object]
"""Returns the value that takes the place of a stream marker."""
