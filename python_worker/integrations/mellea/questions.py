"""What the worker asks its client while one call runs.

A call that may ask is a stream. Its items are questions, and the last is its result. The client
answers each with a call of its own. When the client leaves, the stream ends, and with it the work.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Coroutine
from dataclasses import dataclass
from typing import Any

from python_worker.exceptions import InvalidArgument
from python_worker.integrations.mellea import generation
from python_worker.integrations.mellea.generation import STARTED, Unfinished


@dataclass(frozen=True)
class Verdict:
    """What a validator says of a text."""

    result: bool
    reason: str | None = None
    score: float | None = None


class Questions:
    """The questions of one call.

    Args:
        open: The questions of all calls that have no answer yet, by their names.
    """

    def __init__(self, open: dict[str, asyncio.Future[Verdict]]) -> None:
        self._open = open
        self._items: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()

    async def ask(self, requirement: int, text: str) -> Verdict:
        """Ask whether a text meets a requirement.

        Args:
            requirement: Its number in the client's list.
            text: The text.
        """
        name = secrets.token_hex(8)
        answer: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
        self._open[name] = answer
        try:
            self._items.put_nowait({"question": name, "requirement": requirement, "text": text})
            return await answer
        finally:
            del self._open[name]

    async def during(
        self, work: Coroutine[Any, Any, dict[str, Any]]
    ) -> AsyncGenerator[dict[str, Any], None]:
        """The questions that work asks, and then its result.

        When the reader leaves, the work is ended, and so are the requests that it has made.
        """
        started: list[Unfinished] = []
        token = STARTED.set(started)
        task = asyncio.ensure_future(work)
        STARTED.reset(token)
        task.add_done_callback(lambda _task: self._items.put_nowait(None))
        try:
            while (item := await self._items.get()) is not None:
                yield item
            yield {"result": task.result()}
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await generation.end(started)


def answer(open: dict[str, asyncio.Future[Verdict]], name: str, verdict: Verdict) -> None:
    """Answer a question.

    Raises:
        InvalidArgument: Nobody waits for the answer.
    """
    waiting = open.get(name)
    if waiting is None or waiting.done():
        raise InvalidArgument(
            "question: nobody waits for the answer; the call that asked is over",
            parameter="question",
        )
    waiting.set_result(verdict)
