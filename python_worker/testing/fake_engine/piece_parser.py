"""From the tokens that the fake engine says to reasoning, content and calls of tools.

The interface is that of vLLM's parsers, so that ``chat.parsing`` makes answers of both.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from python_worker.testing.fake_engine.pieces import Piece
from python_worker.testing.fake_vllm.tokenizer import FakeTokenizer


@dataclass(frozen=True)
class FunctionDelta:
    """What is new of a function to call."""

    name: str | None
    arguments: str | None


@dataclass(frozen=True)
class CallDelta:
    """What is new of a call."""

    index: int
    id: str | None
    function: FunctionDelta


@dataclass
class WholeCall:
    """A call of a tool."""

    id: str
    name: str
    arguments: str = ""


@dataclass
class Message:
    """What some tokens say."""

    content: str | None = None
    reasoning: str | None = None
    tool_calls: list[CallDelta] = field(default_factory=list)


class PieceParser:
    """Reads what the fake engine says; the interface is that of vLLM's parsers.

    Args:
        tokenizer: Knows what tokens mean.
        reasons: Whether it tells reasoning from content.
        calls: Whether it finds calls of tools.
    """

    reasoning_parser = tool_parser = None

    def __init__(self, tokenizer: FakeTokenizer, *, reasons: bool, calls: bool) -> None:
        self._tokenizer = tokenizer
        self._reasons = reasons
        self._calls = calls
        self._count = 0

    def set_prompt_token_ids(self, token_ids: Sequence[int]) -> None:
        """Does nothing: what tokens mean does not depend on the prompt."""

    def parse_delta(
        self,
        text: str,
        token_ids: Sequence[int],
        request: Any,
        prompt_token_ids: Any,
        *,
        finished: bool,
    ) -> Message | None:
        """What the next tokens say; None for nothing."""
        message = Message()
        for token_id in token_ids:
            self._add(message, token_id)
        return message if message != Message() else None

    def parse(
        self,
        text: str,
        request: Any,
        *,
        enable_auto_tools: bool,
        model_output_token_ids: Sequence[int],
    ) -> tuple[str | None, str | None, list[WholeCall]]:
        """The reasoning, the content and the calls of a whole answer."""
        message = self.parse_delta("", model_output_token_ids, request, (), finished=True)
        calls: list[WholeCall] = []
        for delta in message.tool_calls if message else ():
            if delta.id is not None:
                calls.append(WholeCall(delta.id, delta.function.name or ""))
            calls[-1].arguments += delta.function.arguments or ""
        if message is None:
            return None, "", calls
        content = message.content or (None if message.reasoning or calls else "")
        return message.reasoning, content, calls

    def count_reasoning_tokens(self, token_ids: Sequence[int]) -> int:
        """How many of the tokens are reasoning."""
        return sum(self._kind(token_id) == "reasoning" for token_id in token_ids)

    def _kind(self, token_id: int) -> str:
        meaning = self._tokenizer.meaning(token_id)
        kind = meaning.kind if isinstance(meaning, Piece) else "content"
        reads = self._reasons if kind == "reasoning" else self._calls
        return kind if reads else "content"

    def _add(self, message: Message, token_id: int) -> None:
        kind, meaning = self._kind(token_id), self._tokenizer.meaning(token_id)
        text = meaning.text if isinstance(meaning, Piece) else ""
        if kind == "reasoning":
            message.reasoning = (message.reasoning or "") + text
        elif kind == "call":
            call_id = f"chatcmpl-tool-{uuid.uuid4().hex[:16]}"
            message.tool_calls.append(CallDelta(self._count, call_id, FunctionDelta(text, None)))
            self._count += 1
        elif kind == "arguments":
            delta = CallDelta(self._count - 1, None, FunctionDelta(None, text))
            message.tool_calls.append(delta)
        else:
            message.content = (message.content or "") + self._tokenizer.text(token_id)
