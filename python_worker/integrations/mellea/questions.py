"""What the worker asks its client while one call runs: validators and hooks are the client's.

A call that may ask is a stream. Its items are questions, and the last is its result. The client
answers each with a call of its own. When the client leaves, the stream ends, and with it the work.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

from python_worker.exceptions import InvalidArgument
from python_worker.integrations.mellea import generation, hooks
from python_worker.integrations.mellea.generation import STARTED, Unfinished
from python_worker.integrations.mellea.hooks import Hooks


@dataclass(frozen=True)
class Verdict:
    """What a validator says of a text."""

    result: bool
    reason: str | None = None
    score: float | None = None


@dataclass(frozen=True)
class Question:
    """A question without an answer yet.

    Attributes:
        wanted: The class of its answer.
        answer: Resolved when the client answers.
    """

    wanted: type
    answer: asyncio.Future[Any]


Open = dict[str, Question]
"""The questions of all calls of an object that have no answer yet, by their names."""


class Questions:
    """The questions of one call.

    Args:
        open: The questions of all calls.
        hooks: The names of the client's hooks.
    """

    def __init__(self, open: Open, hooks: list[Any] | None = None) -> None:
        self._open = open
        self._hooks = Hooks(hooks, self) if hooks else None
        self._items: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()

    async def ask(self, requirement: int, text: str) -> Verdict:
        """Ask whether a text meets a requirement.

        Args:
            requirement: Its number in the client's list.
            text: The text.
        """
        verdict: Verdict = await self._ask(Verdict, {"requirement": requirement, "text": text})
        return verdict

    async def ask_hook(self, hook: str, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Have the client run a hook, and return what it changes."""
        changes: dict[str, Any] = await self._ask(dict, {"hook": hook, "payload": payload})
        return changes

    async def _ask(self, wanted: type, item: dict[str, Any]) -> Any:
        name = secrets.token_hex(8)
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._open[name] = Question(wanted, answer)
        try:
            self._items.put_nowait({"question": name, **item})
            return await answer
        finally:
            del self._open[name]

    async def during(
        self, work: Coroutine[Any, Any, dict[str, Any]], *, keeps_texts: bool = False
    ) -> AsyncGenerator[dict[str, Any], None]:
        """The questions that work asks, and then its result.

        When the reader leaves, the work is ended, and so are the requests that it has made.

        Args:
            work: Asks, and returns the result.
            keeps_texts: Whether the texts that it began go on after its result.
        """
        started: list[Unfinished] = []
        texts, current = STARTED.set(started), hooks.CURRENT.set(self._hooks)
        task = asyncio.ensure_future(work)
        STARTED.reset(texts)
        hooks.CURRENT.reset(current)
        task.add_done_callback(lambda _task: self._items.put_nowait(None))
        try:
            while (item := await self._items.get()) is not None:
                yield item
            result = task.result()
            if keeps_texts:
                started.clear()
            yield {"result": result}
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await generation.end(started)


def answer(open: Open, name: str, value: Verdict | dict[str, Any]) -> None:
    """Answer a question.

    Raises:
        InvalidArgument: Nobody waits for the answer, or for one of another kind.
    """
    question = open.get(name)
    if question is None or question.answer.done():
        raise InvalidArgument(
            "question: nobody waits for the answer; the call that asked is over",
            parameter="question",
        )
    if not isinstance(value, question.wanted):
        raise InvalidArgument(
            "question: answer asks for a verdict, answer_hook for changes", parameter="question"
        )
    question.answer.set_result(value)
