"""What providers share whose model is behind a server with OpenAI's chat completions."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

from python_worker.integrations.inference.http_client import HttpClient, server_url
from python_worker.integrations.inference.provider import Generation, WorkerProvider
from python_worker.integrations.inference.results import GenerationResult


class ChatServerProvider(WorkerProvider):
    """Generates with ``chat/completions``.

    Args:
        base_url: The URL of the server, up to ``/v1``.
        api_key: Sent with each request.
    """

    def __init__(self, base_url: str, api_key: str) -> None:
        self._client = HttpClient(server_url(base_url), api_key)

    async def _generate(self, generation: Generation) -> GenerationResult:
        answer = await self._client.post_json("/chat/completions", self._body(generation))
        return self._result(answer, generation)

    async def close(self) -> None:
        """Ends the connections to the server."""
        await self._client.close()

    @abstractmethod
    def _body(self, generation: Generation) -> dict[str, object]:
        """The fields of a request."""

    @abstractmethod
    def _adapter(self, generation: Generation) -> str | None:
        """The adapter that a text is written with."""

    def _result(self, answer: dict[str, Any], generation: Generation) -> GenerationResult:
        match answer:
            case {"choices": [{"message": {**message}, **choice}, *_]}:
                pass
            case _:
                raise self._client.odd_answer(
                    "the answer has no choice with a message, so it is no chat completion"
                )
        model = answer.get("model")
        return GenerationResult(
            text=_text(message.get("content")),
            model=model if isinstance(model, str) and model else generation.model,
            adapter_id=self._adapter(generation),
            token_count=token_count(answer),
            finish_reason=finish_reason(choice),
        )


def _text(content: object) -> str:
    return content if isinstance(content, str) else ""


def token_count(answer: dict[str, Any]) -> int:
    """How many tokens prompt and text have; 0 where a server does not say."""
    match answer.get("usage"):
        case {"total_tokens": int(total)} if total >= 0:
            return total
    return 0


def finish_reason(choice: Mapping[Any, Any]) -> str:
    """Why a text ended; ``stop`` where a server does not say."""
    reason = choice.get("finish_reason")
    return reason if isinstance(reason, str) and reason else "stop"
