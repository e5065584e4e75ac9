"""Notices the end of worker processes of tensor parallelism on other hosts.

VLLM watches those that run beside EngineCore. Of one on another host it learns only when a step
fails, so an engine without requests stays as it is, healthy, until the next request. Here the
connections that bring the results of these processes are watched, and what vLLM does for the end of
a process of its own is done when one is lost: EngineCore ends, and with it the engine.
"""

from __future__ import annotations

import functools
import logging
import threading
import weakref
from collections.abc import Callable
from typing import Any, Protocol

logger = logging.getLogger(__name__)

MULTIPROC_EXECUTOR = "vllm.v1.executor.multiproc_executor"

# The name of the threads that watch.
THREAD = "remote-worker"


class MessageQueue(Protocol):
    """One of vLLM's, as far as it is looked at.

    Attributes:
        remote_socket: Of pyzmq; None where both ends are on one host.
    """

    remote_socket: Any


class Executor(Protocol):
    """VLLM's ``MultiprocExecutor``, as far as it is looked at.

    Attributes:
        response_mqs: Bring the results of all worker processes, by rank.
        local_world_size: How many of these are on this host: the first ones.
        is_failed: Whether a worker process has ended.
        failure_callback: Ends EngineCore.
    """

    response_mqs: list[MessageQueue]
    local_world_size: int
    is_failed: bool
    failure_callback: Callable[[], None] | None

    def shutdown(self) -> None:
        """End what there is on this host."""


def fail(executor: Executor, rank: int) -> None:
    """Do as vLLM's monitor of local processes does when one has ended.

    The callback comes first: it takes seconds to end those on this host, which wait for the lost
    one. A step that waits for it too ends with them.
    """
    if getattr(executor, "shutting_down", False):
        return
    executor.is_failed = True
    logger.error(
        "the connection to the worker process of rank %d was lost: it has ended, which the log of "
        "its node explains, or its host or the network between; the engine ends",
        rank,
    )
    callback, executor.failure_callback = executor.failure_callback, None
    if callback is not None:
        callback()
    executor.shutdown()


def watch(executor: Executor) -> None:
    """Watch the worker processes of an executor that are on other hosts, from now on."""
    found = weakref.ref(executor)

    def lost(rank: int) -> None:
        if (alive := found()) is not None:
            fail(alive, rank)

    for rank, queue in enumerate(executor.response_mqs):
        if rank >= executor.local_world_size and queue.remote_socket is not None:
            _watch(queue.remote_socket, functools.partial(lost, rank))


def _watch(socket: Any, lost: Callable[[], None]) -> None:
    import zmq  # comes with vLLM

    place = f"inproc://remote-worker-{id(socket)}"
    socket.monitor(place, zmq.EVENT_DISCONNECTED | zmq.EVENT_MONITOR_STOPPED)
    # vLLM closes the sockets that it knows and ends the context, which waits for this one.
    events: Any = zmq.Context.shadow(socket.context).socket(zmq.PAIR)
    events.connect(place)
    threading.Thread(target=_wait, name=THREAD, args=(events, lost), daemon=True).start()


def _wait(events: Any, lost: Callable[[], None]) -> None:
    import zmq
    from zmq.utils.monitor import recv_monitor_message

    try:
        event = recv_monitor_message(events)["event"]
    except zmq.ContextTerminated:
        return
    finally:
        events.close()
    if event == zmq.EVENT_DISCONNECTED:
        lost()


def watching(post_init: Callable[[Any], None]) -> Callable[[Any], None]:
    """Returns the executor's last step of its start, changed to begin to watch."""

    @functools.wraps(post_init)
    def patched(self: Any) -> None:
        post_init(self)
        # Ray's executor is a subclass. It has one node, and knows of the end of its actors itself.
        if self.parallel_config.nnodes_within_dp > 1:
            watch(self)

    return patched


def patch_multiproc_executor(module: Any) -> None:
    """Has vLLM's executor watch worker processes on other hosts, if this version has the place."""
    executor = getattr(module, "MultiprocExecutor", None)
    if executor is not None and hasattr(executor, "_post_init_executor"):
        executor._post_init_executor = watching(executor._post_init_executor)
