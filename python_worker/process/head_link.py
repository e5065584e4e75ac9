"""Ends an EngineCore of a node when the head that it belongs to has gone.

VLLM's EngineCore on another host waits for ever for a head that has ended: it keeps its memory and
cannot be used by another head. Here its connections to the head are watched, and the process ends
at once when one is lost. Its worker processes end with it (see ``child``), and the node starts a
new one for the next head.

There are two kinds of connections: the handshake, which lasts from the start of the core until it
has loaded, and those that bring requests, from then on. The handshake ends while the head goes on,
so it is watched only until the others are there.
"""

from __future__ import annotations

import functools
import logging
import os
import threading
from collections.abc import Callable, Mapping
from typing import Any

from python_worker.process import heartbeats

logger = logging.getLogger(__name__)

# Set in the environment of a node's processes.
NODE_VARIABLE = "VLLM_BRIDGE_NODE"

ENGINE_CORE = "vllm.v1.engine.core"

# The name of the threads that watch.
THREAD = "head-link"

#: The exit status of a core whose head has gone: that of a service that is not available.
HEAD_GONE = os.EX_UNAVAILABLE


class HeadLink:
    """The connections of one EngineCore to its head.

    Args:
        end: Called when the head has gone.
    """

    def __init__(self, end: Callable[[str], None]) -> None:
        self._end = end
        # A context that is collected closes its sockets, in whatever thread that happens.
        self._contexts: list[Any] = []
        self._has_requests = False

    def watch(self, context: Any, socket: Any, address: str, *, brings_requests: bool) -> None:
        """Watch a socket from now on.

        Args:
            context: The socket's.
            socket: The socket.
            address: What it connects to.
            brings_requests: Whether it is more than the handshake.
        """
        import zmq  # comes with vLLM

        self._contexts.append(context)
        self._has_requests |= brings_requests
        place = f"inproc://head-link-{len(self._contexts)}"
        socket.monitor(place, zmq.EVENT_DISCONNECTED | zmq.EVENT_MONITOR_STOPPED)
        # The core's own context closes all sockets that it has made, also those in use elsewhere.
        events: Any = zmq.Context.shadow(context).socket(zmq.PAIR)
        events.connect(place)
        threading.Thread(
            target=self._wait, name=THREAD, args=(events, address, brings_requests), daemon=True
        ).start()

    def _wait(self, events: Any, address: str, brings_requests: bool) -> None:
        import zmq
        from zmq.utils.monitor import recv_monitor_message

        try:
            event = recv_monitor_message(events)["event"]
        except zmq.ContextTerminated:  # the core ends by itself
            return
        finally:
            events.close()
        if event == zmq.EVENT_DISCONNECTED and brings_requests == self._has_requests:
            self._end(address)


def watching(make_socket: Callable[..., Any], link: HeadLink) -> Callable[..., Any]:
    """Returns vLLM's function that makes a socket, changed to watch those to the head."""

    @functools.wraps(make_socket)
    def make(context: Any, path: str, socket_type: Any, *args: Any, **kwargs: Any) -> Any:
        import zmq

        heartbeats.begin(context)
        socket = make_socket(context, path, socket_type, *args, **kwargs)
        if socket_type in (zmq.DEALER, zmq.XSUB) and path.startswith("tcp:"):
            # EngineCore makes the handshake in its main thread, and all others in threads.
            is_handshake = threading.current_thread() is threading.main_thread()
            link.watch(context, socket, path, brings_requests=not is_handshake)
        return socket

    return make


def end_process(address: str) -> None:
    """End this process, because its head has gone."""
    logger.warning("the head at %s has gone: this core ends", address)
    logging.shutdown()
    os._exit(HEAD_GONE)


def patch_engine_core(module: Any, environ: Mapping[str, str] = os.environ) -> None:
    """Has an EngineCore of a node watch its head.

    Args:
        module: ``vllm.v1.engine.core``. A version without the function stays as it is.
        environ: The environment of this process.
    """
    if NODE_VARIABLE in environ and hasattr(module, "make_zmq_socket"):
        module.make_zmq_socket = watching(module.make_zmq_socket, HeadLink(end_process))
