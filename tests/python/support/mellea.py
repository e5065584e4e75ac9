"""For tests of mellea: an engine without vLLM, which says what a test tells it to."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any

from python_worker.integrations.mellea.backends import Backend
from python_worker.streaming.admission import ADMISSION


class Kind(enum.Enum):
    """Which part of the text an output has."""

    DELTA = 1
    FINAL_ONLY = 2


@dataclass
class Params:
    """The parameters of a request that tests use."""

    temperature: float = 1.0
    max_tokens: int = 16
    seed: int | None = None
    stop: list[str] | None = None
    top_k: int = 0
    top_p: float = 1.0
    ignore_eos: bool = False
    n: int = 1
    structured_outputs: dict[str, Any] | None = None
    output_kind: Kind = Kind.FINAL_ONLY


@dataclass
class Completion:
    """One of the texts of an output."""

    text: str
    token_ids: list[int]
    finish_reason: str | None = None
    index: int = 0


@dataclass
class Output:
    """An output of a request."""

    outputs: list[Completion]
    prompt_token_ids: list[int] = field(default_factory=lambda: [1, 2, 3])


class Tokenizer:
    """Renders a message a line, and takes a character for a token."""

    def apply_chat_template(self, messages: Any, **options: Any) -> str:
        """The roles and texts; then the tools, and where the answer begins."""
        lines = [f"{one['role']}: {one['content']}" for one in messages]
        names = [tool["function"]["name"] for tool in options["tools"] or ()]
        end = ["assistant:"] if options["add_generation_prompt"] else []
        return "\n".join([*(f"tool {name}" for name in names), *lines, *end])

    def encode(self, text: str, add_special_tokens: bool = True) -> list[int]:
        """The characters as numbers, after a special token if there are to be any."""
        return [0] * add_special_tokens + [ord(character) for character in text]

    def decode(self, token_ids: list[int]) -> str:
        """The text of tokens."""
        return "".join(map(chr, token_ids))


class Engine:
    """An engine whose texts are given, and which aborts as vLLM's does.

    Args:
        texts: What it says, one after the other, and the last again and again. An exception is
            raised in place of a text. An engine that is to say ``None`` says nothing, for ever.
        pieces: In how many pieces a text comes that is streamed.

    Attributes:
        asked: The prompts and parameters of the requests.
        running: How many requests have not ended.
        aborted: The ids that were aborted.
    """

    errored = False
    dead_error: BaseException = RuntimeError("it is not dead")

    def __init__(self, *texts: str | Exception | None, pieces: int = 4) -> None:
        self._texts = list(texts) or ["text"]
        self._pieces = pieces
        self.asked: list[tuple[Any, Params]] = []
        self.running = 0
        self.aborted: list[str] = []

    async def add_lora(self) -> None:
        """Every engine has one."""

    def get_tokenizer(self) -> Tokenizer:
        """The tokenizer."""
        return Tokenizer()

    async def abort(self, request_ids: list[str], internal: bool) -> None:
        """Ends requests by the ids that they have in the engine."""
        assert internal
        self.aborted += request_ids

    async def generate(
        self, prompt: Any, sampling_params: Params, request_id: str
    ) -> AsyncGenerator[Output, None]:
        """Yields the next text."""
        self.asked.append((prompt, sampling_params))
        text = self._texts.pop(0) if len(self._texts) > 1 else self._texts[0]
        if (admission := ADMISSION.get()) is not None:
            admission.note(f"{request_id}-0")
        self.running += 1
        try:
            if isinstance(text, Exception):
                raise text
            if text is None:
                await asyncio.Event().wait()
            for piece in self._cut(text or "", sampling_params.output_kind):
                # Of several completions each streamed output has one.
                for index in reversed(range(sampling_params.n)):
                    yield Output([Completion(piece if index == 0 else "?", [1], index=index)])
        finally:
            self.running -= 1

    def _cut(self, text: str, kind: Kind) -> list[str]:
        if kind is Kind.FINAL_ONLY:
            return [text]
        size = max(1, -(-len(text) // self._pieces))
        return [text[at : at + size] for at in range(0, len(text), size)]


async def backend_of(engine: Engine, **options: Any) -> Backend:
    """A backend on the engine."""
    return await Backend.new(engine, "a/model", **options)


CHAT: dict[str, Any] = {"type": "chat"}
