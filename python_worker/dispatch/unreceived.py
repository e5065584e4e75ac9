"""Shuts down what a client built and never received.

The reply that names a new engine may be lost with its session, and then no client knows the engine:
it would keep its memory until the worker ends.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Sequence

from python_worker.buffers import Buffer
from python_worker.dispatch.call import Call, Start
from python_worker.dispatch.references import Holder, References
from python_worker.generated.vllm_bridge.v1 import messages_pb2 as pb
from python_worker.streaming.input_stream import InputStream
from python_worker.streaming.reply_sink import ReplyReferences

logger = logging.getLogger(__name__)


def shut_down(
    references: References,
    start: Start,
    builder: Holder,
    ref_ids: Collection[str] | None = None,
) -> None:
    """Begin to shut down what somebody built and sent no receipt for.

    Args:
        references: Where the objects are kept.
        start: Begins a call.
        builder: Who built them.
        ref_ids: Only these; None for all.
    """
    for entry in references.take_unreceived(builder, ref_ids):
        logger.warning(
            "shutting down the %s %s: its client ended before it confirmed that it has it",
            entry.type,
            entry.id,
        )
        request = pb.CallRequest(
            ref=entry.id, incarnation=references.incarnation, method=entry.served.shutdown
        )
        start(Call(request, _LoggedFailure(entry.id), holder=builder))


class _LoggedFailure(ReplyReferences):
    """The replies of a call that nobody waits for: a failure is logged."""

    def __init__(self, ref_id: str) -> None:
        self._ref_id = ref_id

    def send(self, reply: pb.CallReply) -> None:
        """Log a failure; a worker that is stopping shuts all engines down by itself."""
        if reply.HasField("failure") and reply.failure.kind != pb.FAILURE_KIND_DRAINING:
            logger.error("%s was not shut down: %s", self._ref_id, reply.failure.message)

    def send_value(self, parts: Sequence[Buffer], *, built: bool = False) -> None:
        """Nobody waits for it."""

    def send_item(self, item: bytes) -> None:
        """There are none."""

    def take_place(self) -> bool:
        """There are no items."""
        return False

    def return_place(self) -> None:
        """There are no items."""

    async def wait_place(self) -> None:
        """There are no items."""
        await asyncio.get_running_loop().create_future()

    def route_inputs(self, inputs: InputStream) -> None:
        """There are no inputs."""
