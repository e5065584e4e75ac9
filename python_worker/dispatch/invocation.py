"""One call of one member: what is handed on from the dispatcher's first step to its last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from python_worker.dispatch.call import Call
from python_worker.dispatch.served_classes import ServedClass


@dataclass(slots=True)
class Invocation:
    """A member of an object, and the checked arguments it is called with.

    Attributes:
        call: The call that asked for it.
        method: The member's name.
        target: The object.
        served: The policy of the object's class.
        member: The bound method, or the value of a property.
        args: Positional arguments; none of a property.
        kwargs: Arguments by name.
    """

    call: Call
    method: str
    target: Any
    served: ServedClass
    member: Any
    args: Sequence[Any] = ()
    kwargs: Mapping[str, Any] | None = None

    def invoke(self) -> Any:
        """Call the member."""
        return self.member(*self.args, **(self.kwargs or {}))

    @property
    def cumulative(self) -> bool:
        """Whether an argument asks for items that each hold all of the output so far."""
        for value in (*self.args, *(self.kwargs or {}).values()):
            if (kind := getattr(value, "output_kind", None)) is not None:
                return getattr(kind, "name", "") == "CUMULATIVE"
        return False
