"""The request of a chat without vLLM: the fields of vLLM's, with their types and defaults.

``tests/python/vllm/test_chat_fields.py`` compares them with vLLM's own. Fields are checked by
these annotations, and the rules between fields are those that a client meets most.
"""

from __future__ import annotations

import dataclasses
import functools
import typing
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict

from python_worker.chat.requests import WITHOUT_EFFECT, completed, refuse_unknown
from python_worker.exceptions import InvalidArgument, Unsupported
from python_worker.testing.fake_vllm.types import StructuredOutputsParams
from python_worker.validation.annotations import checker
from python_worker.validation.scalars import Check


class Function(TypedDict):
    """What a model may call."""

    name: str
    description: NotRequired[str | None]
    parameters: NotRequired[dict[str, Any] | None]
    strict: NotRequired[bool | None]
    defer_loading: NotRequired[bool | None]


class Tool(TypedDict):
    """A tool is a function."""

    type: NotRequired[Literal["function"]]
    function: Function
    defer_loading: NotRequired[bool | None]


class ResponseFormat(TypedDict):
    """What the content is to be."""

    type: Literal["text", "json_object", "json_schema", "structural_tag"]
    json_schema: NotRequired[dict[str, Any] | None]
    structures: NotRequired[list[dict[str, Any]]]
    triggers: NotRequired[list[str]]
    format: NotRequired[Any]


@dataclass(kw_only=True)
class ChatRequest:
    """See the module's documentation."""

    messages: list[dict[str, Any]]
    model: str | None = None
    frequency_penalty: float | None = None
    logit_bias: dict[str, float] | None = None
    logprobs: bool | None = False
    top_logprobs: int | None = 0
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    n: int | None = 1
    presence_penalty: float | None = None
    response_format: ResponseFormat | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    temperature: float | None = None
    top_p: float | None = None
    tools: list[Tool] | None = None
    tool_choice: str | dict[str, Any] | None = "none"
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = (
        None
    )
    thinking_token_budget: int | None = None
    include_reasoning: bool = True
    parallel_tool_calls: bool | None = True
    user: str | None = None
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    watermarking: bool | None = None
    length_penalty: float = 1.0
    stop_token_ids: list[int] | None = None
    include_stop_str_in_output: bool = False
    ignore_eos: bool = False
    min_tokens: int = 0
    skip_special_tokens: bool = True
    spaces_between_special_tokens: bool = True
    truncate_prompt_tokens: int | None = None
    truncation_side: Literal["left", "right"] | None = None
    prompt_logprobs: int | None = None
    logprob_token_ids: list[int] | None = None
    allowed_token_ids: list[int] | None = None
    bad_words: list[str] = field(default_factory=list)
    add_generation_prompt: bool = True
    continue_final_message: bool = False
    add_special_tokens: bool = False
    documents: list[dict[str, str]] | None = None
    chat_template: str | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    media_io_kwargs: dict[str, dict[str, Any]] | None = None
    mm_processor_kwargs: dict[str, Any] | None = None
    structured_outputs: StructuredOutputsParams | None = None
    priority: int = 0
    request_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    session_id: str | None = None
    return_token_ids: bool | None = None
    routed_experts_prompt_start: int = 0
    return_prompt_text: bool | None = None
    cache_salt: str | None = None
    kv_transfer_params: dict[str, Any] | None = None
    ec_transfer_params: dict[str, Any] | None = None
    vllm_xargs: dict[str, Any] | None = None
    repetition_detection: Any = None
    stream_interval: int | None = None

    @property
    def format_type(self) -> str | None:
        """The type of ``response_format``, if there is one."""
        return None if self.response_format is None else self.response_format["type"]

    @property
    def offers_tools(self) -> bool:
        """Whether the model may call something."""
        return bool(self.tools) and self.tool_choice not in (None, "none")


def chat_request(fields: Mapping[str, Any]) -> ChatRequest:
    """Makes a request of a client's fields.

    Raises:
        InvalidArgument: A field is unknown, or its value is wrong.
        Unsupported: A field has no effect with vLLM either.
    """
    for name in fields:
        if reason := WITHOUT_EFFECT.get(name):
            raise Unsupported(f"{name}: {reason}", parameter=name)
    checks = _checks()
    refuse_unknown((), fields.keys(), checks)
    if "messages" not in fields:
        raise _wrong("messages", "Field required")
    given = {name: checks[name](value, name) for name, value in completed(fields).items()}
    if given.get("tools") and "tool_choice" not in given:
        given["tool_choice"] = "auto"
    request = ChatRequest(**given)
    _check_messages(request.messages)
    _check_tools(request)
    _check_rest(request)
    return request


def for_choices(request: ChatRequest) -> Any:
    """What the choices of a chat read of a request."""
    format_ = None if request.format_type is None else SimpleNamespace(type=request.format_type)
    return SimpleNamespace(**{**vars(request), "response_format": format_})


@functools.cache
def _checks() -> Mapping[str, Check]:
    hints = typing.get_type_hints(ChatRequest)
    return {it.name: checker(hints[it.name]) for it in dataclasses.fields(ChatRequest)}


def _check_messages(messages: list[dict[str, Any]]) -> None:
    if not messages:
        raise _wrong("messages", "a chat has at least one message")
    for index, message in enumerate(messages):
        path = f"messages.{index}"
        if not isinstance(message.get("role"), str):
            raise _wrong(f"{path}.role", "wants the role of who says it, such as 'user'")
        content = message.get("content")
        if isinstance(content, list):
            if not all(isinstance(it, str) or (isinstance(it, dict) and it) for it in content):
                raise _wrong(f"{path}.content", "wants texts and parts such as {'type': 'text'}")
        elif not isinstance(content, str | None):
            raise _wrong(f"{path}.content", "wants a text or a list of parts")
        if content is None and message["role"] != "assistant":
            raise _wrong(f"{path}.content", "wants a text or a list of parts")


def _check_tools(request: ChatRequest) -> None:
    choice, tools = request.tool_choice, request.tools
    if tools == []:
        raise _wrong("tools", "must not be empty; leave it out where there are no tools")
    if choice in (None, "none"):
        return
    if tools is None:
        raise _wrong("tool_choice", "when it is used, `tools` must be set")
    if isinstance(choice, str):
        if choice not in ("auto", "required"):
            raise _wrong("tool_choice", f"there is no {choice!r}")
        return
    function = (choice or {}).get("function")
    name = function.get("name") if isinstance(function, dict) else None
    if name not in [tool["function"]["name"] for tool in tools]:
        raise _wrong("tool_choice", "does not match any of `tools`")


def _check_rest(request: ChatRequest) -> None:
    if request.continue_final_message and request.add_generation_prompt:
        raise _wrong("continue_final_message", "cannot go with `add_generation_prompt`")
    if (request.top_logprobs or 0) < -1:
        raise _wrong("top_logprobs", "must be a positive value or -1")
    if request.top_logprobs and not request.logprobs:
        raise _wrong("top_logprobs", "when it is used, `logprobs` must be true")
    format_ = request.response_format
    if format_ and format_["type"] == "json_schema" and format_.get("json_schema") is None:
        raise _wrong("response_format", "a json_schema is missing")


def _wrong(parameter: str, message: str) -> InvalidArgument:
    return InvalidArgument(f"{parameter}: {message}", parameter=parameter)
