"""Removes the shared memory that dead engines of this worker have left under ``/dev/shm``.

An engine that is killed leaves what it shared between its processes: the buffers of vLLM's queues,
and those of tensor parallelism on a CPU (``*-cpushm``), which may be hundreds of megabytes. All of
them begin with the name of the run's folder (``run_folder``), so they are ours. They are unused
when no process has one open or mapped. At the end of the worker all of them are removed.
"""

from __future__ import annotations

import asyncio
import glob
import logging
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from python_worker.process import lifeline
from python_worker.process.run_folder import SHARED_MEMORY

logger = logging.getLogger(__name__)

# When it is looked, in seconds after an engine has ended. Its processes are killed with it, and a
# large one takes some time to give its memory back.
LOOKS = (1.0, 5.0, 30.0)


class Sweeper:
    """Removes what dead engines have left.

    Args:
        folder: The run's folder.
    """

    def __init__(self, folder: Path) -> None:
        self._prefix = folder.name
        self._timers: dict[float, asyncio.TimerHandle] = {}

    def engine_ended(self) -> None:
        """An engine is dead or has been shut down: remove what is unused, in a while."""
        loop = asyncio.get_running_loop()
        for seconds in LOOKS:
            # Engines that end together need no looks of their own.
            if (timer := self._timers.get(seconds)) is not None:
                timer.cancel()
            self._timers[seconds] = loop.call_later(seconds, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        # In a thread, because it reads files of every process.
        loop.run_in_executor(None, self.sweep)

    def sweep(self) -> list[Path]:
        """Removes what is unused now, and returns it."""
        # First what there is: whoever has made a piece has it open or mapped from then on.
        pieces = set(SHARED_MEMORY.glob(f"{glob.escape(self._prefix)}_*"))
        unused = pieces - used(pieces) if pieces else pieces
        for piece in sorted(unused):
            with suppress(OSError):  # somebody else has removed it
                piece.unlink()
                logger.info("removed %s, which a dead engine has left", piece)
        return sorted(unused)


def used(pieces: set[Path]) -> set[Path]:
    """Those that a living process has open or mapped; all, where that cannot be seen."""
    names = {str(piece): piece for piece in pieces}
    found: set[Path] = set()
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        try:
            found |= {names[it] for it in held(process) if it in names}
        except PermissionError:
            # Other users' processes have nothing of ours. One of ours may hide what it has.
            if is_ours(process.name):
                return pieces
        except OSError:  # it has ended
            continue
    return found


def is_ours(pid: str) -> bool:
    """Whether a process is one of the worker's, which share its process group."""
    try:
        return lifeline.stat(pid)[1] == os.getpgrp()
    except OSError:  # it has ended
        return False


def held(process: Path) -> Iterator[str]:
    """The files that a process has open, then those that it has mapped.

    In this order: a piece is opened, mapped, and may be closed then.
    """
    for descriptor in (process / "fd").iterdir():
        with suppress(FileNotFoundError):  # it was closed meanwhile
            yield os.readlink(descriptor)
    with (process / "maps").open(errors="surrogateescape") as lines:
        for line in lines:
            if (start := line.find("/")) >= 0:
                yield line[start:].rstrip("\n")
