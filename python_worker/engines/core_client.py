"""Changes of vLLM's module ``core_client``, which builds the client of EngineCore.

- A build that its caller has left ends: see ``abandonment``.
- Hosts that vanish are noticed: see ``process.heartbeats``.
- A core in an actor of Ray's whose worker has ended is noticed: vLLM's thread that watches the
  actors would end with the error of that core.
"""

from __future__ import annotations

import functools
import importlib
import logging
from collections.abc import Callable
from typing import Any

from python_worker.engines import abandonment
from python_worker.process import heartbeats

logger = logging.getLogger(__name__)

MODULE = "vllm.v1.engine.core_client"

# Less would end engines of a machine that is busy.
LEAST_SECONDS = 2.0

# What shows that a function has been changed already.
MARK = "_changed_by_vllm_bridge"


def change(stall_after: float) -> None:
    """Change the module, once.

    Args:
        stall_after: Seconds; see ``Settings``. A host that is silent for so long counts as lost.
    """
    module: Any = importlib.import_module(MODULE)
    longest = heartbeats.SILENT_SECONDS
    seconds = max(LEAST_SECONDS, min(stall_after or longest, longest))
    for place, name, wrap in (
        (module, "launch_core_engines", abandonment.watched),
        (module, "make_zmq_socket", lambda make: with_heartbeats(make, seconds)),
        (module.CoreEngineActorManager, "monitor_engine_liveness", noticing_errors),
    ):
        original = getattr(place, name)
        if not hasattr(original, MARK):
            changed = wrap(original)
            setattr(changed, MARK, True)
            setattr(place, name, changed)


def noticing_errors(monitor: Callable[[Any], None]) -> Callable[[Any], None]:
    """VLLM's method that returns when an actor has ended, changed to return for errors as well."""

    @functools.wraps(monitor)
    def watch(manager: Any) -> None:
        try:
            monitor(manager)
        except Exception:
            logger.exception("a core of an engine in Ray has failed")
            manager.shutdown()

    return watch


def with_heartbeats(make_socket: Callable[..., Any], seconds: float) -> Callable[..., Any]:
    """VLLM's function that makes a socket, changed to notice cores that have gone silent."""

    @functools.wraps(make_socket)
    def make(context: Any, path: str, socket_type: Any, *args: Any, **kwargs: Any) -> Any:
        import zmq  # comes with vLLM

        # The one that cores on other hosts connect to; those of this worker come through files.
        if socket_type == zmq.ROUTER and path.startswith("tcp:"):
            heartbeats.begin(context, seconds)
        return make_socket(context, path, socket_type, *args, **kwargs)

    return make
