"""The thread of one ``LLM``: its calls run in it one after the other.

vLLM's ``LLM`` belongs to the thread that made it. Its methods block until they are done, and the
processes that it starts are killed when the thread that started them ends. So each object has a
thread that lives as long as the object.

A call that its client gives up while it runs cannot be interrupted from outside. It is told to
stop: ``stop_asked`` is true then, and whatever runs in the thread looks at it where it can stop.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

_CURRENT = threading.local()


class Job(Future[Any]):
    """One call. Cancelling it while it runs tells it to stop.

    Attributes:
        stop_asked: Whether it was told to.
    """

    def __init__(self, function: Callable[[], Any]) -> None:
        super().__init__()
        self._function = function
        self.stop_asked = False

    def cancel(self) -> bool:
        """Cancel a call that has not begun; one that runs is told to stop."""
        cancelled = super().cancel()
        self.stop_asked = True
        return cancelled

    def run(self) -> None:
        """Carry the call out in the current thread."""
        if not self.set_running_or_notify_cancel():
            return
        _CURRENT.job = self
        try:
            result = self._function()
        except BaseException as error:
            self.set_exception(error)
        else:
            self.set_result(result)
        finally:
            _CURRENT.job = None


def stop_asked() -> bool:
    """Whether the call that runs in the current thread was told to stop."""
    job: Job | None = getattr(_CURRENT, "job", None)
    return job is not None and job.stop_asked


class LLMThread(Executor):
    """Runs calls in one thread, in the order in which they come.

    The thread is a daemon: a call that blocks for ever must not keep the worker from ending.

    Args:
        name: The name of the thread.
    """

    def __init__(self, name: str = "llm") -> None:
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._ended = False
        self._running: Job | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Job:
        """Run a function after those that came before.

        Raises:
            RuntimeError: The thread has been told to end.
        """
        job = Job(lambda: fn(*args, **kwargs))
        with self._lock:
            if self._ended:
                raise RuntimeError("the LLM was shut down and takes no more calls")
            self._jobs.put(job)
        return job

    def stop_running(self, timeout: float) -> None:
        """Tell the running call to stop, and give it some time to."""
        job = self._running
        if job is not None and threading.current_thread() is not self._thread:
            job.cancel()
            self.wait_until_over(job, timeout)

    @staticmethod
    def wait_until_over(job: Job, timeout: float) -> None:
        """Return when a call is over, or the time is."""
        over = threading.Event()
        job.add_done_callback(lambda _: over.set())
        over.wait(timeout)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the thread when the calls that have come are over.

        Args:
            wait: Return only then.
            cancel_futures: Cancel those that have not begun, and tell the running one to stop.
        """
        with self._lock:
            self._ended = True
            if cancel_futures:
                self._cancel_waiting()
            self._jobs.put(None)
        if wait and threading.current_thread() is not self._thread:
            self._thread.join()

    def end(self, last: Callable[[], None]) -> None:
        """End the thread as soon as it can, without waiting for that.

        Calls that have not begun are cancelled, and the running one is told to stop.

        Args:
            last: Called in the thread before it ends.
        """
        with self._lock:
            if self._ended:
                return
            self._ended = True
            self._cancel_waiting()
            self._jobs.put(Job(last))
            self._jobs.put(None)

    def _cancel_waiting(self) -> None:
        if self._running is not None:
            self._running.cancel()
        while not self._jobs.empty():
            job = self._jobs.get()
            if job is not None:
                job.cancel()
                # Whoever waits for it is told.
                job.set_running_or_notify_cancel()

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            self._running = job
            job.run()
            self._running = None
            # Its function holds the LLM, which could not go while the thread waits for the next.
            del job
