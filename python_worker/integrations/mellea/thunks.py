"""What a client holds of a text that is being made, or was made.

Mellea's thunk hands its text out in pieces to one reader at a time, and a reader that is cancelled
takes its piece along. Here readers wait for their turn, and a piece whose reader has left is for
the next. When no client holds a thunk any more, its request ends.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from typing import Any

from python_worker.exceptions import Cancelled, InvalidArgument
from python_worker.integrations.mellea.generation import Engine

logger = logging.getLogger(__name__)

FINISHED = "Streaming has finished and the thunk is computed: read its value."


class Thunk:
    """A text that is being made.

    Args:
        thunk: Mellea's.
        engine: The engine that makes it.
        filled_by_hand: Whether its client makes it, and no request.
    """

    def __init__(self, thunk: Any, engine: Engine, *, filled_by_hand: bool = False) -> None:
        self.engine = engine
        self._thunk = thunk
        self._filled_by_hand = filled_by_hand
        self._turn = asyncio.Lock()
        self._pending: asyncio.Task[str] | None = None
        self._error: Exception | None = None
        self._ending: asyncio.Task[None] | None = None

    # --- What clients call -------------------------------------------------------

    async def is_computed(self) -> bool:
        """Whether the text is whole."""
        return bool(self._thunk.is_computed())

    async def value(self) -> str | None:
        """The text, None until it is whole."""
        return self._thunk.value if self._thunk.is_computed() else None

    async def avalue(self) -> str:
        """The whole text, when it is there."""
        return (await self.computed()).value or ""

    async def astream(self) -> str:
        """The text since the last call, when there is more of it.

        Raises:
            InvalidArgument: It is whole already.
        """
        async with self._turn:
            if self._thunk.is_computed() and self._pending is None:
                raise InvalidArgument(FINISHED)
            return await self._piece()

    async def stream(self) -> AsyncGenerator[str, None]:
        """The rest of the text, piece by piece."""
        while not self._thunk.is_computed() or self._pending is not None:
            async with self._turn:
                if self._thunk.is_computed() and self._pending is None:
                    return
                piece = await self._piece()
            if piece:
                yield piece

    async def parsed_repr(self) -> Any:
        """What the action's parser made of the text: a text, or a message; None until then."""
        parsed = self._thunk.parsed_repr
        if parsed is None or isinstance(parsed, str):
            return parsed
        role = getattr(parsed, "role", None)
        return str(parsed) if role is None else {"role": role, "content": parsed.content}

    async def tool_calls(self) -> dict[str, Any] | None:
        """The arguments of the calls in the text, by the tool's name; None where there are none.

        Of two calls of one tool the last is taken.
        """
        calls = (await self.computed()).tool_calls
        return None if calls is None else {call.name: dict(call.args) for call in calls}

    async def generate_log(self) -> dict[str, Any] | None:
        """What was asked, with which options, when; None until the text is whole."""
        log = self._thunk.generate_log
        if log is None:
            return None
        return {
            "prompt": log.prompt,
            "backend": log.backend,
            "model_options": _plain(log.model_options),
            "date": log.date.isoformat(),
            "model_output": log.model_output,
            "extra": log.extra,
            "is_final_result": bool(log.is_final_result),
            "usage": self._thunk.generation.usage,
            "finish_reasons": self._thunk.generation.finish_reasons,
        }

    async def request_id(self) -> str | None:
        """The name of the request in the engine; None for a text that its client fills."""
        name: str | None = self._thunk.generation.response_id
        return name

    async def cancel(self) -> None:
        """Ends the request. What was made of the text so far is its value."""
        await self._thunk.cancel_generation()

    # --- Inside ------------------------------------------------------------------

    def by_hand(self) -> Any:
        """Mellea's thunk, which a client is about to add to.

        Raises:
            InvalidArgument: A request makes it, or it is whole.
        """
        if not self._filled_by_hand:
            raise InvalidArgument(
                "thunk: its own request makes this text; begin one of your own with new",
                parameter="thunk",
            )
        if self._thunk.is_computed():
            raise InvalidArgument("thunk: the text is whole already", parameter="thunk")
        return self._thunk

    async def computed(self) -> Any:
        """Mellea's thunk, when its text is whole."""
        while not self._thunk.is_computed() or self._pending is not None:
            async with self._turn:
                if not self._thunk.is_computed() or self._pending is not None:
                    await self._piece()
        return self._thunk

    async def _piece(self) -> str:
        if self._error is not None:
            raise self._error.with_traceback(None)
        if self._filled_by_hand:
            raise InvalidArgument(
                "thunk: no request makes this text; it is whole after post_processing",
                parameter="thunk",
            )
        if self._pending is None:
            self._pending = asyncio.ensure_future(self._thunk.astream())
        pending = self._pending
        try:
            return await asyncio.shield(pending)
        except Exception as error:
            self._error = error
            raise
        finally:
            if pending.done():
                self._pending = None

    def released(self) -> None:
        """No client holds it any more."""
        if not self._thunk.is_computed():
            self._ending = asyncio.ensure_future(self._end())

    async def _end(self) -> None:
        try:
            await self._thunk.cancel_generation(Cancelled("no client holds the text any more"))
        except Exception:
            logger.exception("the request of a thunk was not ended")
        if self._pending is not None:
            self._pending.cancel()


def _plain(options: Any) -> dict[str, Any]:
    """Options without what cannot be sent: the tools, which the client has."""
    return {name: value for name, value in (options or {}).items() if name != "@@@tools@@@"}
