"""What the codec's two directions and their callers share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple


class RefParts(NamedTuple):
    """What names an object of this worker."""

    incarnation: str
    id: str
    type: str


@dataclass(frozen=True, slots=True)
class Record:
    """A struct from Elixir, before the gate turns it into the class of that name.

    Attributes:
        name: The class's short name, such as ``SamplingParams``.
        fields: What differs from the struct's defaults.
    """

    name: str
    fields: dict[str, object]


Register = Callable[[object], RefParts]
FailureBytes = Callable[[BaseException], bytes]
Resolve = Callable[[str, str], object]
OpenStream = Callable[[], object]
