"""The first code that runs in vLLM's child processes.

vLLM spawns EngineCore and its workers with multiprocessing, which imports the parent's main module
again in the child, under the name ``__mp_main__``. For a package run with ``-m`` it would import
nothing, so ``__main__`` names this module instead. It must import little: every child pays for it.

Four things have to happen this early:

* The child asks the kernel to be killed when its parent ends. Otherwise a ``kill -9`` of the worker
  would leave EngineCore and its workers running, with all their memory.
* torch sets up AMX on CPUs that have it. Otherwise the first prompt of fewer than five tokens ends
  a bfloat16 engine with an illegal instruction.
* Errors of vLLM in these processes are patched: see ``vllm_patches``.
* The files and shared memory of the child get names of this run: see ``run_folder``.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys

from python_worker.process import fork_server, run_folder, vllm_patches

PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """Has the kernel kill this process when its parent ends."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    parent, made_by = multiprocessing.parent_process(), os.getppid()
    # The parent may have ended before the call to prctl. That of a fork is the fork server.
    if parent is None or parent.pid == made_by or fork_server.is_fork_server(made_by):
        return
    os._exit(1)


def prepare_amx() -> None:
    """Sets up AMX if this build of torch has it."""
    import torch

    init_amx = getattr(torch.cpu, "_init_amx", None)
    if init_amx is not None and torch.version.cuda is None:
        init_amx()


if __name__ == "__mp_main__":
    die_with_parent()
    prepare_amx()
    # In a fork both is done, and the modules are there.
    if fork_server.PRELOADED not in sys.modules:
        vllm_patches.install()
        run_folder.set_up_child()
