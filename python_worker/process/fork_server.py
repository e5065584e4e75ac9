"""Starts EngineCore from a process that has imported vLLM already.

Importing vLLM costs a process 8 s of CPU time, and a spawned EngineCore does it anew: most of the
time that an engine takes to start. Here the first engine starts Python's fork server, which
imports what every EngineCore needs (``preloaded``), and each EngineCore is a fork of it. The fork
server has one thread, no connection and no listening socket, so a fork of it is safe where one of
the worker would not be. VLLM's own HTTP server can start its children this way.

- A fork has the environment of the process that asks for it, not that of the fork server. What
  libraries have read when they were loaded they do not read again: where the environment differs in
  a variable that may be one of theirs (``READ_AT_LOAD``), the process is spawned as before.
- What EngineCore itself starts, such as the processes of tensor parallelism, are forks of the same
  fork server.
- The kernel kills the fork server when the worker ends. It kills a fork when the process that has
  asked for it ends, and when the fork server does.
"""

from __future__ import annotations

import fcntl
import logging
import multiprocessing
import os
import select
import signal
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import context, forkserver, popen_forkserver, popen_spawn_posix, process, spawn
from pathlib import Path
from typing import Any, Final

from python_worker.process.vllm_patches import PatchOnImport

logger = logging.getLogger(__name__)

PRELOADED: Final = "python_worker.process.preloaded"

ASKING: Final = (
    "vllm.v1.engine.utils",
    "vllm.v1.engine.coordinator",
    "vllm.v1.executor.multiproc_executor",
)
"""The modules of vLLM's that start EngineCore, what coordinates several of them, and the processes
that have parts of the model."""

READ_AT_LOAD: Final = (
    *("GLIBC_", "LD_", "MALLOC_", "PYTHON"),
    *("GOMP_", "KMP_", "MKL_", "NUMEXPR_", "OMP_", "OPENBLAS_"),
    *("CUDA_", "HF_", "HIP_", "NCCL_", "TORCH", "TRANSFORMERS_", "VLLM_"),
)
"""How the names of variables begin that libraries may read while they are loaded."""

READ_LATER: Final = frozenset({"CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES"})
"""Variables of such names that vLLM sets for one rank, and that nobody reads while modules load."""

# Which signal the kernel sends for a file; Python has no name for it.
F_SETSIG: Final = 10

# How long the fork server may take to make a process. The first time it imports vLLM before, which
# on a busy machine takes a minute. One that is stopped would keep a thread of the worker for ever.
ANSWER_SECONDS: Final = 180.0

# The kernel kills the fork server when the *thread* ends that has started it.
_keeper = ThreadPoolExecutor(1, thread_name_prefix="fork-server")


class ForkServer:
    """The fork server of this process.

    Attributes:
        environment: Its own; None before it has been started.
    """

    def __init__(self) -> None:
        self.environment: dict[str, str] | None = None
        self._is_fork = False

    def install(self, folder: Path) -> None:
        """Has vLLM start its processes here, once it is imported.

        Args:
            folder: Where the fork server's socket is.
        """
        process.current_process()._config["tempdir"] = str(folder)  # type: ignore[attr-defined]
        forkserver.set_forkserver_preload([PRELOADED])
        limit_waiting()
        self.patch_vllm()

    def begin(self) -> None:
        """In the fork server: what its forks know of it."""
        self.environment = dict(os.environ)
        # A fork asks the fork server that it comes from, and would start one of its own.
        setattr(forkserver._forkserver, "ensure_running", lambda: None)  # noqa: B010
        self._is_fork = True
        limit_waiting()
        self.patch_vllm()

    def patch_vllm(self) -> None:
        """Has vLLM's modules make their processes here."""
        for module in ASKING:
            sys.meta_path.insert(0, PatchOnImport(module, self.patch))

    def patch(self, module: Any) -> None:
        """Patches a module of vLLM's that makes processes with a context of multiprocessing's."""
        if hasattr(module, "get_mp_context"):
            module.get_mp_context = preferring(module.get_mp_context)

    def serves(self, environ: Mapping[str, str]) -> bool:
        """Whether a process with such an environment can be a fork; starts the fork server.

        Args:
            environ: The environment.
        """
        # vLLM binds a process to a NUMA node by another executable.
        if os.fsdecode(spawn.get_executable()) != sys.executable:
            return False
        if not self._is_fork:
            _keeper.submit(self._ensure_running, dict(environ)).result()
        differing = differences(self.environment or {}, environ)
        if differing:
            logger.info("a process of vLLM's is spawned, since it has other %s", differing)
        return not differing

    def _ensure_running(self, environ: dict[str, str]) -> None:
        before = forkserver._forkserver._forkserver_pid  # type: ignore[attr-defined]
        forkserver.ensure_running()
        if forkserver._forkserver._forkserver_pid != before:  # type: ignore[attr-defined]
            self.environment = environ

    def stop(self) -> None:
        """Ends the fork server, and with it every fork that has not ended."""
        pid = forkserver._forkserver._forkserver_pid  # type: ignore[attr-defined]
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def differences(server: Mapping[str, str], environ: Mapping[str, str]) -> list[str]:
    """The variables in which a process differs from the fork server, as far as that matters."""
    names = {name for name in {*server, *environ} if server.get(name) != environ.get(name)}
    return sorted(name for name in names - READ_LATER if name.startswith(READ_AT_LOAD))


def limit_waiting() -> None:
    """Has whoever asks the fork server for a process wait for the answer with a limit.

    A process that is made after all ends at once: nobody holds the other end of its pipe.
    """
    read: Callable[[int], int] = forkserver.read_signed

    def read_signed(descriptor: int) -> int:
        poll = select.poll()  # select() takes no descriptor above 1,023
        poll.register(descriptor, select.POLLIN)
        if not poll.poll(1000 * ANSWER_SECONDS):
            raise TimeoutError(f"the fork server has not answered for {ANSWER_SECONDS:.0f} s")
        return read(descriptor)

    setattr(forkserver, "read_signed", read_signed)  # noqa: B010


SERVER: Final = ForkServer()


class Fork(context.ForkServerProcess):
    """A process that is forked if it can be, and spawned otherwise."""

    @staticmethod
    def _Popen(process_obj: Any) -> Any:
        if SERVER.serves(os.environ):
            process_obj._environ = dict(os.environ)
            try:
                return popen_forkserver.Popen(process_obj)
            except (EOFError, OSError) as error:
                # It was killed, or could not import vLLM: then what is spawned says why.
                logger.warning("the fork server gives no process, so one is spawned: %r", error)
        process_obj._environ = None
        return popen_spawn_posix.Popen(process_obj)

    def run(self) -> None:
        """Runs the target with the environment of who has started the process."""
        if (environ := self._environ) is not None:  # type: ignore[attr-defined]
            take_environment(environ)
            # The fork server ignores it.
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            end_with_parent()
        super().run()


def take_environment(environ: Mapping[str, str]) -> None:
    """Gives this process an environment. What is the same stays where it is in memory.

    From there a library finds the title of the process, which vLLM sets.
    """
    for name in set(os.environ) - set(environ):
        del os.environ[name]
    for name, value in environ.items():
        if os.environ.get(name) != value:
            os.environ[name] = value


def end_with_parent() -> None:
    """Has the kernel kill this fork when the process ends that has asked for it.

    Of that process's end of a pipe nothing more is read: all has been written that makes a fork. At
    its end the kernel sends a signal, also where this process is stopped or holds Python's lock.
    """
    parent = multiprocessing.parent_process()
    assert parent is not None
    pipe: int = parent.sentinel
    fcntl.fcntl(pipe, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(pipe, F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(pipe, fcntl.F_SETFL, fcntl.fcntl(pipe, fcntl.F_GETFL) | os.O_ASYNC)
    # It may have ended before.
    if select.select([pipe], [], [], 0)[0]:
        os._exit(1)


class Context(context.ForkServerContext):
    """What vLLM makes processes with."""

    Process = Fork


CONTEXT: Final = Context()


def preferring(ask: Callable[[], Any]) -> Callable[[], Any]:
    """VLLM's choice of a context, with ours in place of one that spawns."""

    def get_mp_context() -> Any:
        chosen = ask()
        return CONTEXT if chosen.get_start_method() == "spawn" else chosen

    return get_mp_context


def is_fork_server(pid: int) -> bool:
    """Whether a process is a fork server of Python's."""
    try:
        return b"multiprocessing.forkserver" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
