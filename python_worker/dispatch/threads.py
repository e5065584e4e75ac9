"""Runs what may block in a thread."""

from __future__ import annotations

import asyncio
import contextvars
import functools
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any


async def in_thread(executor: Executor | None, function: Callable[[], Any]) -> Any:
    """Call a function that may block, with the caller's context.

    Args:
        executor: Where it runs; None for the worker's own threads.
        function: What is called.
    """
    run = functools.partial(contextvars.copy_context().run, function)
    return await asyncio.get_running_loop().run_in_executor(executor, run)
