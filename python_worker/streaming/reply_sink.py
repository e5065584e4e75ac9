"""The protocol of what receives the replies of one call.

Sessions and gRPC calls implement it; the dispatcher and the streams write to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from python_worker.buffers import Buffer
from python_worker.exceptions import Unsupported
from python_worker.generated.vllm_bridge.v1 import messages_pb2 as pb
from python_worker.streaming.input_stream import InputStream
from python_worker.wire.limits import MAX_REFERENCES


class ReplyReferences:
    """The references within the value or item that a sink sends next.

    Each is added when it is registered. The reply that is sent next takes them all, so what is left
    when a call is over belongs to a reply that was never sent.
    """

    # A list for each of the calls, of which few return a reference, would take memory for nothing.
    _references: list[str] | None = None

    def add_reference(self, ref_id: str) -> None:
        """Add the id of a reference, once for each time that it occurs.

        Raises:
            Unsupported: There are more than fit into a reply. The id has been added.
        """
        if self._references is None:
            self._references = []
        self._references.append(ref_id)
        if len(self._references) > MAX_REFERENCES:
            raise Unsupported(
                f"the value has more than {MAX_REFERENCES} references: ask for less at a time",
                limit=MAX_REFERENCES,
            )

    def take_references(self) -> list[str]:
        """Return all ids that were added, and forget them."""
        references, self._references = self._references, None
        return references or []


class ReplySink(Protocol):
    """Sends the replies of one call to its client.

    A *place* is credit for one item: the client grants credit, and each item uses one.
    """

    def send(self, reply: pb.CallReply) -> None:
        """Send a reply, without waiting."""

    def send_value(self, parts: Sequence[Buffer], *, built: bool = False) -> None:
        """Send a value in parts, which are joined before this returns, with its references.

        ``built`` says that the call has built what the value refers to: see the protocol.
        """

    def send_item(self, item: bytes) -> None:
        """Send an item for which a place was taken, with its references."""

    def add_reference(self, ref_id: str) -> None:
        """See ``ReplyReferences``."""

    def take_references(self) -> list[str]:
        """See ``ReplyReferences``."""

    def take_place(self) -> bool:
        """Take a place for one more item, if there is one."""

    def return_place(self) -> None:
        """Return a place that was taken and not used."""

    async def wait_place(self) -> None:
        """Wait until there is a place for one more item, and take it."""

    def route_inputs(self, inputs: InputStream) -> None:
        """Pass the elements that the client sends for an argument on to ``inputs``."""
