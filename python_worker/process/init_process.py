"""What the worker does as process 1 of a container.

Process 1 is the parent of every process whose own parent has ended, and has to wait for each, or
they stay as zombies: one for each EngineCore that was killed, for instance. It gets no signal that
it has not asked for. The worker cannot wait for all processes itself: the exit statuses of its
children are for multiprocessing. So process 1 forks, and the child is the worker.
"""

from __future__ import annotations

import os
import signal

# What is passed on to the worker.
FORWARDED = frozenset(
    {
        signal.SIGHUP,
        signal.SIGINT,
        signal.SIGQUIT,
        signal.SIGTERM,
        signal.SIGUSR1,
        signal.SIGUSR2,
        signal.SIGWINCH,
    }
)


def leave_process_1() -> None:
    """Returns in a child where this is process 1, and at once elsewhere.

    To be called before there is any thread. The parent stays: it passes signals on, waits for every
    process, and ends as the worker does, which ends the container.
    """
    if os.getpid() == 1:
        stand_before_worker()


def stand_before_worker() -> None:
    """As ``leave_process_1``, in any process."""
    watched = FORWARDED | {signal.SIGCHLD}
    # From here on they wait, so that none is lost before somebody waits for it.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, watched)
    worker = os.fork()
    if worker == 0:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return
    release_pipes()
    while True:
        number = signal.sigwait(watched)
        if number == signal.SIGCHLD:
            if (status := reap(worker)) is not None:
                os._exit(status)
        else:
            os.kill(worker, number)


def release_pipes() -> None:
    """Lets go of stdin and stdout, whose other ends would not see the worker close them."""
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    os.close(nothing)


def reap(worker: int) -> int | None:
    """Waits for every process that has ended.

    Returns:
        The exit status if the worker is among them, as shells have it: 128 and the number of the
        signal that killed it.
    """
    ended = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if pid == 0:
            return ended
        if pid == worker:
            code = os.waitstatus_to_exitcode(status)
            ended = code if code >= 0 else 128 - code
