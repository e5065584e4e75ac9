"""What the fork server imports, so that every EngineCore has it; see ``fork_server``.

The patches of ``vllm_patches`` come before the modules that they are for.
"""

from __future__ import annotations

import gc
import importlib
import signal

from python_worker.process import child, fork_server, run_folder, vllm_patches

MODULES = (
    "vllm.v1.engine.core",
    "vllm.v1.executor.uniproc_executor",
    "vllm.v1.executor.multiproc_executor",
)

CPU_WORKER = "vllm.v1.worker.cpu_worker"


def load() -> None:
    """Imports vLLM in the fork server."""
    child.die_with_parent()
    # The forks end by the signal, and tell their ends here.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    fork_server.SERVER.begin()
    vllm_patches.install()
    run_folder.set_up_child()
    for module in MODULES:
        importlib.import_module(module)
    # Of other platforms vLLM does not import it before it forks.
    if importlib.import_module("vllm.platforms").current_platform.is_cpu():
        importlib.import_module(CPU_WORKER)
    # What is never freed stays shared with the forks.
    gc.collect()
    gc.freeze()


load()
