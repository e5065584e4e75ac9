"""When the engine has taken a request, and under which ids: told to the call that runs."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

from python_worker.generated.vllm_bridge.v1 import messages_pb2 as pb
from python_worker.streaming.fast_path import FastPath
from python_worker.streaming.reply_sink import ReplySink


class Admission:
    """What the engine said about the request of one call.

    Attributes:
        accepted: Whether the client has been told that items will follow.
        request_ids: The engine's own ids of the request, children included.
            The client's id will not do: two requests may share it, and
            aborting one must not abort the other.
        shortcut: For the outputs of the request, where its call streams them.
    """

    shortcut: FastPath | None = None

    def __init__(self, outlet: ReplySink) -> None:
        self._outlet = outlet
        self.accepted = False
        self.request_ids: list[str] = []

    def note(self, request_id: str) -> None:
        """Remember an id under which the engine now knows the request."""
        if request_id not in self.request_ids:
            self.request_ids.append(request_id)

    def accept(self) -> None:
        """Tell the client, once, that the request is taken."""
        if not self.accepted:
            self.accepted = True
            self._outlet.send(pb.CallReply(accepted=pb.Accepted()))

    def collect(self, collector: Any, engine: Any) -> None:
        """The engine has taken the request; its outputs are going to be put into ``collector``."""
        self.note(collector.request_id)
        self.accept()
        if self.shortcut is not None:
            self.shortcut.open(collector, engine)


ADMISSION: ContextVar[Admission | None] = ContextVar("admission", default=None)
"""The admission of the call that the current task runs."""
