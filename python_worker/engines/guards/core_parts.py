"""The parts of an engine whose end vLLM does not notice.

While an engine runs, vLLM watches the processes that it has started. It does not watch

- cores on other hosts, or in actors of Ray's: a request that is sent to one that has ended waits
  for ever, and the engine is as well as before;
- the coordinator of several cores, without which those of a model with experts stand still.

Both are looked at here, ten times a second, which takes some microseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from python_worker.engines.guards.core_exits import Process, describe, describe_exits
from python_worker.engines.guards.protocols import AsyncMPClient

if TYPE_CHECKING:
    import zmq

# How many looks may pass between the news that a connection was lost and its being out of use.
LOOKS_AFTER_NEWS = 20


class CoreConnections:
    """The connections of an engine to its cores.

    What connects and leaves is not always a core: whoever looks which ports are open does so too.
    So a core counts as lost only when nothing can be sent to it any more.

    Args:
        core: vLLM's client of the cores.
        nothing: A message that has no effect on a core.
    """

    def __init__(self, core: AsyncMPClient, nothing: Sequence[bytes]) -> None:
        import zmq  # comes with vLLM

        self._core = core
        self._nothing = nothing
        # Its own socket belongs to an event loop, and this is made in a thread without one.
        self._socket: zmq.Socket[bytes] = zmq.Socket.shadow(core.input_socket)
        place = f"inproc://lost-connections-{id(self)}"
        self._socket.monitor(place, zmq.EVENT_DISCONNECTED)
        self._news: zmq.Socket[bytes] = core.resources.ctx.socket(zmq.PAIR)
        self._news.connect(place)
        # One may have been lost before there was anything that could tell.
        self._looks_left = 1

    def lost(self) -> list[int]:
        """The ranks of the cores that have been lost."""
        if self._core.input_socket.closed:  # the engine has been shut down
            self._news.close(linger=0)
            return []
        while self._news.poll(0):
            self._news.recv_multipart()
            self._looks_left = LOOKS_AFTER_NEWS
        if not self._looks_left:
            return []
        self._looks_left -= 1
        return self._unreachable()

    def _unreachable(self) -> list[int]:
        import zmq

        self._socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        try:
            return [
                int.from_bytes(identity, "little")
                for identity in self._core.core_engines
                if not self._reaches(identity)
            ]
        finally:
            self._socket.setsockopt(zmq.ROUTER_MANDATORY, 0)

    def _reaches(self, identity: bytes) -> bool:
        import zmq

        try:
            self._socket.send_multipart((identity, *self._nothing), zmq.NOBLOCK)
        except zmq.ZMQError as error:
            return error.errno != zmq.EHOSTUNREACH
        return True


class UnwatchedParts:
    """What of an engine vLLM does not watch.

    Args:
        core: vLLM's client of the cores.
        processes: Those that vLLM watches.
        nothing: As of ``CoreConnections``.
        keeps_its_cores: Whether a core may leave only with the engine.
    """

    def __init__(
        self,
        core: AsyncMPClient,
        processes: Sequence[Process],
        nothing: Callable[[], Sequence[bytes]],
        *,
        keeps_its_cores: bool,
    ) -> None:
        self._processes = processes
        self._coordinator = core.resources.coordinator
        has_others = keeps_its_cores and len(core.core_engines) > len(processes)
        self._connections = CoreConnections(core, nothing()) if has_others else None

    def __bool__(self) -> bool:
        return self._connections is not None or self._coordinator is not None

    def ended(self) -> str | None:
        """What has ended and how, in words; None as long as all is there."""
        if self._coordinator is not None:
            process = self._coordinator.proc
            if (code := process.exitcode) is not None:
                return f"{process.name} (process {process.pid}) {describe(code)}."
        lost = self._connections.lost() if self._connections is not None else []
        if not lost:
            return None
        if any(process.exitcode is not None for process in self._processes):
            return describe_exits(self._processes)
        ranks = ", ".join(map(str, lost))
        return (
            f"The connection to the EngineCore of rank {ranks} was lost: its process has ended, "
            "which its log explains, or its host or the network between."
        )
