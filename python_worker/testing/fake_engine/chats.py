"""Chats of the fake engine: what vLLM's renderer and parsers do in a real one.

The prompt of a chat is the text of its last message, by which scripts find it. Its tokens are those
of the whole conversation, so that a conversation that is too long is refused. What the engine says
is read by a parser that knows what each token means. All that follows, from the outputs to the
answer, is the code that serves vLLM's engines.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from python_worker.chat.completions import Asked, Chat
from python_worker.chat.parsing import Choice
from python_worker.chat.templates import FORMATS, Parsers, check_known
from python_worker.exceptions import InvalidArgument
from python_worker.testing.fake_engine.chat_requests import ChatRequest, chat_request, for_choices
from python_worker.testing.fake_engine.piece_parser import PieceParser
from python_worker.testing.fake_engine.pieces import to_json
from python_worker.testing.fake_vllm.types import (
    RequestOutputKind,
    SamplingParams,
    StructuredOutputsParams,
)

UNSCRIPTED_TOKENS: Final = 16
"""How long an answer is that neither the request nor a script limits."""

# Fields of a request that are made into parameters of another name or form.
CONVERTED: Final = frozenset(
    {"logprobs", "logit_bias", "max_tokens", "output_kind", "structured_outputs", "extra_args"}
)


async def prepare(engine: Any, asked: Asked) -> Chat:
    """Makes a chat of what a client asked for, and records it.

    Raises:
        InvalidArgument: A field is wrong.
        Unsupported: A field has no effect with vLLM either.
    """
    request, parsers = chat_request(asked.fields), asked.parsers
    check_known("chat_template_content_format", parsers.content_format, lambda: list(FORMATS))
    _check_parser(request, parsers)
    adapter = _adapter(engine, request.model, asked.lora_request)
    request_id = f"chatcmpl-{request.request_id}"
    text = text_of(request.messages[-1])
    await engine._enter(
        "stream_chat" if asked.streams else "chat",
        dict(asked.fields),
        request_id=request_id,
        prompt=text,
        **_given(asked),
    )
    tokenizer = engine.tokenizer
    prompt = {"prompt": text, "prompt_token_ids": tokenizer.encode(conversation(request.messages))}
    params = _params(engine, request, prompt, streams=asked.streams)  # This limits `n`.
    reasons = bool(parsers.reasoning_parser or engine.engine_args.reasoning_parser)
    role = "assistant" if request.add_generation_prompt else request.messages[-1]["role"]
    readable = for_choices(request)
    choices = []
    for number in range(params.n):
        parser = None
        if reasons or parsers.tool_parser:
            calls = parsers.tool_parser is not None and request.offers_tools
            parser = PieceParser(tokenizer, reasons=reasons, calls=calls)
        choices.append(Choice(readable, number, parser, role))
    return Chat(
        id=request_id,
        request=request,
        prompt=prompt,
        params=params,
        lora_request=adapter,
        trace_headers=asked.trace_headers,
        keywords={
            "reasoning_ended": None,
            "reasoning_parser_kwargs": {"chat_template_kwargs": {}} if reasons else None,
        },
        choices=choices,
        model=request.model or served_name(engine),
    )


def text_of(message: dict[str, Any]) -> str:
    """The text of a message; a part that is no text is shown by its type."""
    content = message.get("content")
    if isinstance(content, list):
        parts = [it if isinstance(it, str) else _part(it) for it in content]
        return "\n".join(parts)
    return content or ""


def conversation(messages: Iterable[dict[str, Any]]) -> str:
    """All messages as the text whose tokens are the prompt's."""
    lines = []
    for message in messages:
        calls = message.get("tool_calls")
        written = to_json(calls) if calls else ""
        lines.append(f"{message['role']}: {text_of(message)}{written}\n")
    return "".join(lines)


def served_name(engine: Any) -> str:
    """The name of an engine's model."""
    name = engine.engine_args.served_model_name or engine.engine_args.model
    return str(name[0] if isinstance(name, list) else name)


def _part(part: dict[str, Any]) -> str:
    return part["text"] if isinstance(part.get("text"), str) else f"<{part.get('type')}>"


def _check_parser(request: ChatRequest, parsers: Parsers) -> None:
    if parsers.tool_parser is None and request.tool_choice not in (None, "none"):
        choice = request.tool_choice
        shown = json.dumps(choice) if isinstance(choice, str) else "a function"
        raise InvalidArgument(
            f"tool_choice {shown} requires tool_parser to be set", parameter="tool_parser"
        )


def _adapter(engine: Any, model: str | None, lora_request: Any) -> Any:
    """The adapter that is given, or the loaded one of a name."""
    if model is None:
        return lora_request
    if lora_request is not None:
        raise InvalidArgument(
            "model: give the name of an adapter, or a lora_request, not both", parameter="model"
        )
    served = engine.engine_args.served_model_name or []
    names = [served_name(engine), *(served if isinstance(served, list) else [served])]
    adapters = {it.lora_name: it for it in engine._loras.values()}
    if model in (*names, engine.engine_args.model):
        return None
    if model in adapters:
        return adapters[model]
    raise InvalidArgument(
        f"model: there is no {model!r}; this engine has "
        f"{', '.join(dict.fromkeys([*names, *sorted(adapters)]))}. An adapter is loaded with "
        "add_lora",
        parameter="model",
    )


def _given(asked: Asked) -> dict[str, object]:
    """The arguments beside the request that a client gave, for the record."""
    parsers = asked.parsers
    arguments = {
        "tool_parser": parsers.tool_parser,
        "reasoning_parser": parsers.reasoning_parser,
        "chat_template_content_format": parsers.content_format,
        "lora_request": asked.lora_request,
        "trace_headers": asked.trace_headers,
    }
    return {name: it for name, it in arguments.items() if it not in (None, "auto")}


def _params(
    engine: Any, request: ChatRequest, prompt: dict[str, Any], *, streams: bool
) -> SamplingParams:
    names = {it.name for it in dataclasses.fields(SamplingParams)} - CONVERTED
    values = {
        name: value
        for name, value in vars(request).items()
        if name in names and value is not None and value != []
    }
    if request.logit_bias is not None:
        values["logit_bias"] = _token_ids(request.logit_bias)
    if request.logprobs:
        values["logprobs"] = request.top_logprobs or 0
    return SamplingParams(
        **values,
        max_tokens=_limit(engine, request, prompt),
        structured_outputs=_structure(request),
        output_kind=RequestOutputKind.DELTA if streams else RequestOutputKind.FINAL_ONLY,
        extra_args=request.vllm_xargs,
    )


def _token_ids(bias: dict[str, float]) -> dict[int, float]:
    try:
        return {int(token_id): value for token_id, value in bias.items()}
    except ValueError as error:
        raise InvalidArgument(f"logit_bias: {error}", parameter="logit_bias") from error


def _limit(engine: Any, request: ChatRequest, prompt: dict[str, Any]) -> int | None:
    """How many tokens the answer may have; None where a script says when it ends."""
    asked = request.max_completion_tokens
    limits = [request.max_tokens if asked is None else asked]
    window = engine.engine_args.max_model_len
    if window is not None:
        # Of a prompt that is too long the engine says so.
        limits.append(max(1, window - len(prompt["prompt_token_ids"])))
    behaviour = engine._script.peek(prompt["prompt"], prompt["prompt_token_ids"])
    if limits[0] is None and behaviour.say is None and behaviour.tokens is None:
        limits.append(UNSCRIPTED_TOKENS)
    return min((limit for limit in limits if limit is not None), default=None)


def _structure(request: ChatRequest) -> StructuredOutputsParams | None:
    """What the answer is to be; recorded, and not obeyed."""
    given: Mapping[str, Any] = request.response_format or {}
    match request.format_type:
        case "json_schema":
            described = given.get("json_schema") or {}
            return StructuredOutputsParams(json=described.get("schema"))
        case "json_object":
            return StructuredOutputsParams(json_object=True)
        case "structural_tag":
            return StructuredOutputsParams(structural_tag=to_json(given))
        case _:
            return request.structured_outputs
