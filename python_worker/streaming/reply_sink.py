"""The protocol of what receives the replies of one call.

Sessions and gRPC calls implement it; the dispatcher and the streams write to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from python_worker.buffers import Buffer
from python_worker.generated.vllm_bridge.v1 import messages_pb2 as pb
from python_worker.streaming.input_stream import InputStream


class ReplySink(Protocol):
    """Sends the replies of one call to its client.

    A *place* is credit for one item: the client grants credit, and each item uses one.
    """

    def send(self, reply: pb.CallReply) -> None:
        """Send a reply, without waiting."""

    def send_value(self, parts: Sequence[Buffer]) -> None:
        """Send a value in parts, which are joined before this returns."""

    def send_item(self, item: bytes) -> None:
        """Send an item for which a place was taken."""

    def take_place(self) -> bool:
        """Take a place for one more item, if there is one."""

    def return_place(self) -> None:
        """Return a place that was taken and not used."""

    async def wait_place(self) -> None:
        """Wait until there is a place for one more item, and take it."""

    def route_inputs(self, inputs: InputStream) -> None:
        """Pass the elements that the client sends for an argument on to ``inputs``."""
