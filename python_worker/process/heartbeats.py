"""Heartbeats between an engine and its cores on other hosts.

A host that loses its power or its network says nothing, and TCP waits for it for hours. So both
ends of a connection ask each other whether they are there. ZeroMQ's own threads answer: a core that
is busy, however long, is there, and one whose process is stopped is not.
"""

from __future__ import annotations

from typing import Any, Protocol

# Long beside what keeps a host from answering for a while: swapping, a paused virtual machine, a
# large message on a slow network.
SILENT_SECONDS = 30.0


class Context(Protocol):
    """A context of pyzmq, as far as options go."""

    def setsockopt(self, opt: int, value: Any) -> None:
        """Set an option of the sockets that it will make."""


def begin(context: Context, seconds: float = SILENT_SECONDS) -> None:
    """Has the sockets that a context will make notice the silence of their peers.

    Args:
        context: The context. Sockets that exist stay as they are.
        seconds: How long a peer may be silent before the connection counts as lost, at both ends.
    """
    import zmq  # comes with vLLM

    milliseconds = int(seconds * 1000)
    # A peer is asked at each interval, and has the rest of the time to answer.
    interval = max(1, milliseconds // 4)
    context.setsockopt(zmq.HEARTBEAT_IVL, interval)
    context.setsockopt(zmq.HEARTBEAT_TIMEOUT, milliseconds - interval)
    context.setsockopt(zmq.HEARTBEAT_TTL, milliseconds)
