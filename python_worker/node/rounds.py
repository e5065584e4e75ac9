"""From one head to the next."""

from __future__ import annotations

import logging
from collections.abc import Callable

from python_worker.node.cores import End, Part

logger = logging.getLogger(__name__)

# What has failed is started again after a while, which doubles with each failure.
FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 30.0


class Rounds:
    """Runs what a node has to run, for one head after the other.

    Args:
        make: Makes what runs for one head.
        wait_for: Returns when a head is at this host and port.
        pause: Waits for some seconds.
    """

    def __init__(
        self,
        make: Callable[[], Part],
        wait_for: Callable[[str, int], None],
        pause: Callable[[float], None],
    ) -> None:
        self._make = make
        self._wait_for = wait_for
        self._pause = pause
        self._failures = 0

    def run(self) -> None:
        """Go on until something is raised."""
        while True:
            self.run_one()

    def run_one(self) -> None:
        """Wait for one head and run until that has gone, or until it has failed."""
        part = self._make()
        self._wait_for(part.host, part.port)
        logger.info("starting %s", part.describe())
        try:
            end = part.run()
        except Exception:
            logger.exception("%s did not start", part.describe())
            end = End.FAILED
        if end is End.HEAD_GONE:
            self._failures = 0
            logger.info("the head at %s:%d has gone, and with it what ran", part.host, part.port)
            return
        seconds = min(FIRST_PAUSE_SECONDS * 2**self._failures, LONGEST_PAUSE_SECONDS)
        self._failures += 1
        logger.error("%s failed; starting again in %.0f s", part.describe(), seconds)
        self._pause(seconds)
