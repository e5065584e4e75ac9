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
        return self._output_kind() == "CUMULATIVE"

    @property
    def single(self) -> bool:
        """Whether no argument asks for several completions."""
        return getattr(self._params(), "n", 1) in (1, None)

    @property
    def whole(self) -> bool:
        """Whether the last item holds all of the output."""
        kind = self._output_kind()
        return kind == "FINAL_ONLY" or (kind == "CUMULATIVE" and self.single)

    def _output_kind(self) -> str:
        return str(getattr(getattr(self._params(), "output_kind", None), "name", ""))

    def _params(self) -> object:
        """The argument that says how outputs are made."""
        for value in (*self.args, *(self.kwargs or {}).values()):
            if getattr(value, "output_kind", None) is not None:
                return value
        return None
