"""What a client receives of a chat. Each class is sent as a struct of its fields.

The names are those of OpenAI's API. What is a tree of choices and messages there is flat here where
nothing is lost by it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class ToolCall:
    """A function that the model wants called.

    Attributes:
        id: Names the call; the answer to it repeats it.
        name: The name of the function.
        arguments: Its arguments by name; None where the model's text is no JSON object.
        arguments_json: The arguments as the model wrote them.
    """

    id: str
    name: str
    arguments: dict[str, Any] | None
    arguments_json: str


@dataclass(slots=True)
class ChatMessage:
    """A message of the model's.

    Attributes:
        role: ``assistant``, or the role of the message that was continued.
        content: The text; None where there are only tool calls or reasoning.
        reasoning: What the reasoning parser took for reasoning.
        tool_calls: The functions to call.
        parsed: The value of the content, where ``response_format`` asked for JSON; None where the
            content is none, for example because it was cut off.
    """

    role: str
    content: str | None = None
    reasoning: str | None = None
    tool_calls: list[ToolCall] = field(default_factory=list)
    parsed: Any = None


@dataclass(slots=True)
class TokenLogprob:
    """A token and how likely it was.

    Attributes:
        token: Its text.
        token_id: Its id.
        logprob: The logarithm of its probability; None where the engine did not say.
        top: The most likely tokens at its place, the likeliest first.
    """

    token: str
    token_id: int
    logprob: float | None
    top: list[TokenLogprob] = field(default_factory=list)


@dataclass(slots=True)
class ChatChoice:
    """One of the answers to a request, which has ``n`` of them.

    Attributes:
        index: Its number, from 0.
        message: The model's message.
        finish_reason: ``stop``, ``length``, ``tool_calls`` or ``abort``.
        stop_reason: The stop string or token id that ended it, if one did.
        logprobs: One entry for each token; None unless ``logprobs`` was true.
        token_ids: The tokens; None unless ``return_token_ids`` was true.
    """

    index: int
    message: ChatMessage
    finish_reason: str
    stop_reason: int | str | None = None
    logprobs: list[TokenLogprob] | None = None
    token_ids: list[int] | None = None


@dataclass(slots=True)
class ChatUsage:
    """How many tokens a request took.

    Attributes:
        prompt_tokens: The tokens of the rendered prompt.
        completion_tokens: The tokens of all choices.
        total_tokens: Both together.
        cached_tokens: The prompt's tokens that were found in the prefix cache.
        reasoning_tokens: Those of the completion that are reasoning; None without a parser.
    """

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None


@dataclass(slots=True)
class ChatCompletion:
    """The whole answer to a chat request.

    Attributes:
        id: Names the request in the engine.
        model: The served name of the model, or the name of the adapter.
        choices: The answers, in order.
        usage: How many tokens it took.
        prompt: The rendered prompt; None unless ``return_prompt_text`` was true.
        prompt_token_ids: Its tokens; None unless ``return_token_ids`` was true.
    """

    id: str
    model: str
    choices: list[ChatChoice]
    usage: ChatUsage
    prompt: str | None = None
    prompt_token_ids: list[int] | None = None


@dataclass(slots=True)
class ToolCallDelta:
    """What is new of a tool call.

    Attributes:
        index: Which of the choice's tool calls it belongs to, from 0.
        id: Of the call, with its first part.
        name: Of the function, with its first part.
        arguments_json: The next characters of the arguments.
    """

    index: int
    id: str | None = None
    name: str | None = None
    arguments_json: str | None = None


@dataclass(slots=True)
class ChatDelta:
    """What is new of one choice.

    Attributes:
        id: Names the request in the engine.
        index: The number of the choice.
        role: With the first delta of a choice.
        content: The next characters of the text.
        reasoning: The next characters of the reasoning.
        tool_calls: What is new of the tool calls.
        finish_reason: With the last delta of a choice; see ``ChatChoice``.
        stop_reason: The stop string or token id that ended the choice, if one did.
        logprobs: Of the tokens of this delta; None unless ``logprobs`` was true.
        token_ids: The tokens of this delta; None unless ``return_token_ids`` was true.
        usage: With the last delta of the last choice.
    """

    id: str
    index: int
    role: str | None = None
    content: str | None = None
    reasoning: str | None = None
    tool_calls: list[ToolCallDelta] = field(default_factory=list)
    finish_reason: str | None = None
    stop_reason: int | str | None = None
    logprobs: list[TokenLogprob] | None = None
    token_ids: list[int] | None = None
    usage: ChatUsage | None = None
