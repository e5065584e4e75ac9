"""Tells the running call that the engine has accepted its request, and under which ids."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

from python_worker.generated.vllm_bridge.v1 import messages_pb2 as pb
from python_worker.streaming.fast_path import FastPath
from python_worker.streaming.reply_sink import ReplySink


class Admission:
    """The admission of one call's request by the engine.

    Args:
        sink: Receives the reply that the request is accepted; None if its call
            returns a value instead of items.
        fast_path: Takes over the outputs of the request; None if its call streams none.

    Attributes:
        accepted: Whether the client has been told that items will follow.
        request_ids: The engine's own ids of the request, children included.
            The client's id does not suffice: two requests may share it, and
            aborting one must not abort the other.
    """

    def __init__(self, sink: ReplySink | None, fast_path: FastPath | None = None) -> None:
        self._sink = sink
        self._fast_path = fast_path
        self.accepted = sink is None
        self.request_ids: list[str] = []

    def note(self, request_id: str) -> None:
        """Record an id under which the engine knows the request."""
        if request_id not in self.request_ids:
            self.request_ids.append(request_id)

    def accept(self) -> None:
        """Tell the client that the request is accepted. Idempotent."""
        if not self.accepted and self._sink is not None:
            self.accepted = True
            self._sink.send(pb.CallReply(accepted=pb.Accepted()))

    def leave_fast_path(self) -> None:
        """The items of the stream are not the engine's outputs, but are made from them."""
        self._fast_path = None

    def collect(self, collector: Any, engine: Any) -> None:
        """The engine has accepted the request and will put its outputs into ``collector``."""
        self.note(collector.request_id)
        self.accept()
        if self._fast_path is not None:
            self._fast_path.open(collector, engine)


ADMISSION: ContextVar[Admission | None] = ContextVar("admission", default=None)
"""The admission of the call that the current task runs."""
