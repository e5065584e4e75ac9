"""How many calls may run at once; more are refused at once.

Without it a client in a loop could make tasks until the memory is used up, at the cost of every
other client. The engine has limits of its own for requests (``max_num_seqs``,
``max_num_queued_reqs``); this one is for the worker.

Methods that free capacity or report load do not count (``ServedClass.unlimited``): each returns at
once, or is what other calls wait for. Cancels, credit and releases are no calls and never wait.
"""

from __future__ import annotations

from python_worker.exceptions import Overloaded


class CallLimit:
    """Counts the calls that run.

    Args:
        max_calls: How many there may be at once.
    """

    def __init__(self, max_calls: int) -> None:
        self._max_calls = max_calls
        self._running = 0

    def check(self) -> None:
        """Refuse a call when as many run as may.

        Raises:
            Overloaded: There is no room for another call.
        """
        if self._running >= self._max_calls:
            raise Overloaded(
                f"the worker is carrying out {self._running} calls, as many as it may "
                "(--max-calls): try again when some of them have ended",
                max_calls=self._max_calls,
            )

    def enter(self) -> None:
        """Count a call that goes on."""
        self._running += 1

    def leave(self) -> None:
        """A call that was counted is over."""
        self._running -= 1
