"""vLLM's AsyncLLM with a method that floods the worker's log, as a careless library would."""

from __future__ import annotations

import sys

from python_worker.engines.builder import import_async_llm

AsyncLLM = import_async_llm()

_LINE = "a library prints this line again and again, and nobody reads it".ljust(99, ".") + "\n"
_LINES_PER_MEGABYTE = 1_000_000 // len(_LINE)


class PrintingAsyncLLM(AsyncLLM):  # type: ignore[misc]
    """An engine whose library prints much."""

    def print_megabytes(self, megabytes: int) -> None:
        """Prints lines of 100 bytes to standard error, a megabyte at a time."""
        for _ in range(megabytes):
            sys.stderr.write(_LINE * _LINES_PER_MEGABYTE)
