"""How many calls may run at once; what comes beyond is refused at once.

Without it a client in a loop could make tasks until the memory is used up, and
every other client would pay. The engine has limits of its own for requests
(``max_num_seqs``, ``max_num_queued_reqs``); this one is for the worker.
"""

from __future__ import annotations

from python_worker.dispatch.call import Call, GoingOn, Perform
from python_worker.exceptions import Overloaded

WORKER_TYPE = "Worker"

# What gets a worker out of being full, or tells that it is: served beside the
# limit and not counted. Each returns at once, or is what calls are waiting for.
# Cancels, credit and releases are no calls and never wait.
UNLIMITED = frozenset(
    {
        "abort",
        "check_health",
        "close",
        "dead_error",
        "errored",
        "get_nowait",
        "get_num_unfinished_requests",
        "is_paused",
        "is_running",
        "is_sleeping",
        "is_stopped",
        "request_id",
        "resume_generation",
        "shutdown",
        "wake_up",
    }
)


class Limit:
    """Carries calls out while there is room for them.

    Args:
        perform: Carries a call out.
        max_calls: How many there may be at once.
    """

    def __init__(self, perform: Perform, max_calls: int) -> None:
        self._perform = perform
        self._max_calls = max_calls
        self._running = 0

    def perform(self, call: Call) -> GoingOn | None:
        """Carry out one call, or refuse it before anything of it is looked at.

        Raises:
            Overloaded: There are as many calls as there may be.
        """
        request = call.request
        if request.class_name == WORKER_TYPE or request.method in UNLIMITED:
            return self._perform(call)
        if self._running >= self._max_calls:
            raise Overloaded(
                f"the worker is carrying out {self._running} calls, as many as it may "
                "(--max-calls): try again when some of them have ended",
                max_calls=self._max_calls,
            )
        going_on = self._perform(call)
        if going_on is not None:
            self._running += 1
            call.at_end = self._leave
        return going_on

    def _leave(self) -> None:
        self._running -= 1
