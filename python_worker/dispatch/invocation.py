"""One call of one member: what is handed on from the dispatcher's first step to its last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from python_worker.codec.part_encoder import Part
from python_worker.dispatch.call import Call
from python_worker.dispatch.served_classes import ServedClass
from python_worker.exceptions import InvalidArgument
from python_worker.generated.vllm_bridge.v1 import messages_pb2 as pb

PARTS: Final[Mapping[int, Part]] = {pb.ITEMS_TEXT: "text", pb.ITEMS_TOKEN_IDS: "token_ids"}
"""What a client can ask for in place of whole outputs."""


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

    @property
    def part(self) -> Part | None:
        """The part of each output that the client asks for; None for all of it."""
        return PARTS.get(self.call.request.items)

    def check_items(self) -> None:
        """Refuse to send a part of outputs where there are none, or where others would be missed.

        Raises:
            InvalidArgument: The client has to ask for whole outputs.
        """
        part, params = self.part, self._params()
        if part is None:
            return
        if self.method not in self.served.outputs:
            raise InvalidArgument(
                f"items: {self.method}() streams no outputs of a generation; leave it out",
                parameter="items",
            )
        if not self.single:
            why = f"n is {getattr(params, 'n', None)}, and items do not say whose they are"
        elif part == "text" and getattr(params, "detokenize", True) is False:
            why = "detokenize is false, so there is no text"
        elif _has_logprobs(params):
            why = "logprobs are asked for, which come with whole outputs"
        else:
            return
        raise InvalidArgument(
            f"items: {part} alone cannot be sent: {why}; ask for whole outputs", parameter="items"
        )

    def _output_kind(self) -> str:
        return str(getattr(getattr(self._params(), "output_kind", None), "name", ""))

    def _params(self) -> object:
        """The argument that says how outputs are made."""
        for value in (*self.args, *(self.kwargs or {}).values()):
            if getattr(value, "output_kind", None) is not None:
                return value
        return None


def _has_logprobs(params: object) -> bool:
    fields = ("logprobs", "prompt_logprobs", "logprob_token_ids", "prompt_logprob_token_ids")
    return any(getattr(params, name, None) is not None for name in fields)
