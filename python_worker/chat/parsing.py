"""From the engine's outputs to content, reasoning and tool calls, by vLLM's parsers.

What each field of an answer holds is decided as vLLM's own chat server decides it; the tests
compare with that server.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from python_worker.chat import vllm_parts
from python_worker.chat.answers import (
    ChatChoice,
    ChatDelta,
    ChatMessage,
    TokenLogprob,
    ToolCall,
    ToolCallDelta,
)
from python_worker.codec.depth import MAX_DEPTH
from python_worker.exceptions import BridgeError, InvalidArgument, Kind

#: The types of ``response_format`` whose content is JSON.
JSON_FORMATS = ("json_object", "json_schema")

#: OpenAI's place of a probability of zero, which JSON has no number for.
_IMPOSSIBLE = -9999.0


class ParserFailed(BridgeError):
    """A parser of vLLM's raised an error on what the model wrote."""


class RequestFailed(BridgeError):
    """The engine gave up on the request."""

    kind = Kind.ENGINE_ERROR


class Choice:
    """One choice of a request, while its outputs come.

    Args:
        request: vLLM's request, after it was rendered.
        index: The number of the choice.
        parser: vLLM's parser for this choice alone, because it keeps a state; None where the
            request needs none.
        role: Of the message.

    Attributes:
        tokens: How many tokens the choice has so far.
        reasoning_tokens: How many of them are reasoning; 0 without a parser.
        finished: Whether the last delta was made.
    """

    def __init__(self, request: Any, index: int, parser: Any, role: str) -> None:
        self.tokens = 0
        self.reasoning_tokens = 0
        self.finished = False
        self._request = request
        self._index = index
        self._parser = parser
        self._role: str | None = role
        self._token_ids: list[int] = []
        self._called_tools = False
        # OpenAI hides everything that would show reasoning.
        self._hidden = not request.include_reasoning and parser is not None
        # Other choices are words.
        self._named = not isinstance(request.tool_choice, str | None)

    def delta(self, request_id: str, output: Any, prompt_token_ids: Any) -> ChatDelta | None:
        """What an output adds to the choice; None where that is nothing to send."""
        self._check(output)
        if self.finished or (not output.text and not output.token_ids and not self.tokens):
            return None  # a part of the prompt was processed, nothing generated
        over = output.finish_reason is not None
        self.tokens += len(output.token_ids)
        if self._parser is not None:
            self._token_ids.extend(output.token_ids)
        message = self._parsed_delta(output, prompt_token_ids, over)
        delta = ChatDelta(id=request_id, index=self._index)
        self._add_tokens(delta, output)
        if message is None:
            if not over and delta.logprobs is None and delta.token_ids is None:
                return None
        else:
            self._add_message(delta, message)
        if over:
            self._finish(delta, output)
        delta.role, self._role = self._role, None
        return delta

    def whole(self, output: Any, prompt_token_ids: Sequence[int]) -> ChatChoice:
        """The choice of a finished output."""
        self._check(output)
        self.tokens = len(output.token_ids)
        content, reasoning, calls = output.text, None, []
        if self._parser is not None:
            reasoning, content, calls = self._parsed(output, prompt_token_ids)
        if self._named or self._request.tool_choice == "required":
            content = content or ""
        message = ChatMessage(role=self._role or "assistant", content=content)
        message.reasoning = reasoning if self._request.include_reasoning else None
        if self._request.tools and self._request.tool_choice != "none":
            message.tool_calls = [_tool_call(call) for call in calls or ()]
        response_format = self._request.response_format
        if content and response_format is not None and response_format.type in JSON_FORMATS:
            message.parsed = json_value(content)
        if self._request.parallel_tool_calls is False:
            del message.tool_calls[1:]
        choice = ChatChoice(self._index, message, output.finish_reason or "stop")
        choice.stop_reason = output.stop_reason
        self._called_tools = bool(message.tool_calls)
        if self._called_tools and self._request.tool_choice == "auto":
            choice.finish_reason = "tool_calls"
        else:
            choice.finish_reason = self._finish_reason(output)
        self._add_tokens(choice, output)
        return choice

    def _check(self, output: Any) -> None:
        if output.finish_reason == "error":
            raise RequestFailed(
                "the engine failed this request, and others are not affected: send it again; the "
                "worker's log has the reason",
                choice=self._index,
            )

    # --- Parts -------------------------------------------------------------------

    def _parsed_delta(self, output: Any, prompt_token_ids: Any, over: bool) -> Any:
        if self._parser is None:
            return None if not output.text else _Content(output.text)
        try:
            return self._parser.parse_delta(
                output.text,
                list(output.token_ids),
                self._request,
                prompt_token_ids,
                finished=over,
            )
        except Exception as error:
            raise self._failure(error) from error

    def _parsed(self, output: Any, prompt_token_ids: Sequence[int]) -> Any:
        try:
            if hasattr(self._parser, "set_prompt_token_ids"):  # since vLLM 0.32
                self._parser.set_prompt_token_ids(prompt_token_ids)
            parsed = self._parser.parse(
                output.text,
                self._request,
                enable_auto_tools=True,
                model_output_token_ids=output.token_ids,
            )
            self.reasoning_tokens = self._parser.count_reasoning_tokens(output.token_ids)
        except Exception as error:
            raise self._failure(error) from error
        return parsed

    def _failure(self, error: Exception) -> BridgeError:
        parts = (self._parser.reasoning_parser, self._parser.tool_parser)
        names = " and ".join(type(part).__name__ for part in parts if part is not None)
        if isinstance(error, NotImplementedError):
            return InvalidArgument(
                f"this parser of vLLM's, {names}, cannot be used for a chat: {error}"
            )
        return ParserFailed(
            f"vLLM's {names or type(self._parser).__name__} could not read what the model wrote: "
            f"{error}; another parser may fit this model better",
            choice=self._index,
        )

    def _add_message(self, delta: ChatDelta, message: Any) -> None:
        delta.content = message.content
        delta.reasoning = message.reasoning if self._request.include_reasoning else None
        for call in message.tool_calls or ():
            if self._request.parallel_tool_calls is not False or call.index == 0:
                function = call.function
                delta.tool_calls.append(
                    ToolCallDelta(
                        index=call.index,
                        id=call.id,
                        name=function and function.name,
                        arguments_json=function and function.arguments,
                    )
                )
        self._called_tools = self._called_tools or bool(message.tool_calls)

    def _add_tokens(self, answer: ChatDelta | ChatChoice, output: Any) -> None:
        if self._hidden:
            return
        if self._request.logprobs:
            answer.logprobs = _logprobs(output, self._request.top_logprobs)
        if self._request.return_token_ids:
            answer.token_ids = list(output.token_ids)

    def _finish(self, delta: ChatDelta, output: Any) -> None:
        self.finished = True
        delta.finish_reason = self._finish_reason(output)
        delta.stop_reason = output.stop_reason
        if self._parser is not None:
            self.reasoning_tokens = self._parser.count_reasoning_tokens(tuple(self._token_ids))

    def _finish_reason(self, output: Any) -> str:
        if self._called_tools and not self._named and output.finish_reason == "stop":
            return "tool_calls"
        return output.finish_reason or "stop"


class _Content:
    """A delta of text alone, without a parser."""

    __slots__ = ("content",)

    reasoning = None
    tool_calls = ()

    def __init__(self, content: str) -> None:
        self.content = content


def _tool_call(call: Any) -> ToolCall:
    text = call.arguments
    return ToolCall(
        id=call.id or vllm_parts.make_tool_call_id(),
        name=call.name,
        arguments=json_object(text),
        arguments_json=text,
    )


def json_object(text: str) -> dict[str, Any] | None:
    """The object that a text of JSON holds; None where it is no such text, or too deep to send."""
    value = json_value(text)
    return value if isinstance(value, dict) else None


def json_value(text: str) -> Any:
    """The value of a text of JSON; None where it is no such text, or too deep to send."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    # A value sits in two or three levels of an answer.
    return value if _depth(value) < MAX_DEPTH - 10 else None


def _depth(value: object) -> int:
    """How many levels a value has, without recursion."""
    depth, level = 0, [value]
    while level:
        depth += 1
        children: list[object] = []
        for element in level:
            if isinstance(element, dict):
                children.extend(element.values())
            elif isinstance(element, list):
                children.extend(element)
        level = children
    return depth


def _logprobs(output: Any, top: int | None) -> list[TokenLogprob]:
    """One entry for each token of an output."""
    positions = output.logprobs or [None] * len(output.token_ids)
    return [
        _logprob(token_id, position or {}, top or 0)
        for token_id, position in zip(output.token_ids, positions, strict=False)
    ]


def _logprob(token_id: int, position: Mapping[int, Any], top: int) -> TokenLogprob:
    own = position.get(token_id)
    entry = TokenLogprob("", token_id, None) if own is None else _entry(token_id, own)
    ranked = sorted(position.items(), key=lambda item: -item[1].logprob)
    # vLLM adds the token that was chosen to the likeliest ones.
    chosen = ranked if top == -1 else ranked[:top]
    entry.top = [_entry(other_id, other) for other_id, other in chosen]
    return entry


def _entry(token_id: int, logprob: Any) -> TokenLogprob:
    return TokenLogprob(logprob.decoded_token or "", token_id, max(logprob.logprob, _IMPOSSIBLE))
