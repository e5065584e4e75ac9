"""What vLLM's child processes run first.

vLLM spawns EngineCore and its workers with multiprocessing, which re-imports
the parent's main module in the child under the name ``__mp_main__``. For a
package run with ``-m`` it would import nothing at all, so ``__main__`` names
this module instead. It must stay light: every child pays for it.

Four things happen here because nothing later is early enough:

* The child asks the kernel to be killed when its parent dies. Without it a
  ``kill -9`` of the worker leaves EngineCore and its workers, with all their
  memory, alive for good.
* On a CPU with AMX the first prompt of fewer than five tokens would end a
  bfloat16 engine with an illegal instruction unless torch has set up AMX.
* What vLLM gets wrong in these processes is mended: see ``mend``.
* What they leave behind has to be known as theirs: see ``belongings``.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal

from python_worker.process import run_folder, vllm_patches

PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent ends."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    parent = multiprocessing.parent_process()
    # The parent may have ended before the kernel was asked.
    if parent is not None and parent.pid != os.getppid():
        os._exit(1)


def prepare_amx() -> None:
    """Set up AMX where this build of torch has it."""
    import torch

    init_amx = getattr(torch.cpu, "_init_amx", None)
    if init_amx is not None and torch.version.cuda is None:
        init_amx()


if __name__ == "__mp_main__":
    die_with_parent()
    prepare_amx()
    vllm_patches.install()
    run_folder.adopt()
