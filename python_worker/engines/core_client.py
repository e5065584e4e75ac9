"""Changes of vLLM's module ``core_client``, which builds the client of EngineCore.

- A build that its caller has left ends: see ``abandonment``.
- Hosts that vanish are noticed: see ``process.heartbeats``.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import Any

from python_worker.engines import abandonment
from python_worker.process import heartbeats

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
    for name, wrap in (
        ("launch_core_engines", abandonment.watched),
        ("make_zmq_socket", lambda make: with_heartbeats(make, seconds)),
    ):
        original = getattr(module, name)
        if not hasattr(original, MARK):
            changed = wrap(original)
            setattr(changed, MARK, True)
            setattr(module, name, changed)


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
