"""From a map of OpenAI's fields to vLLM's request.

vLLM's request lets keys that it does not know pass, and ignores some that it does. A client of ours
is told instead.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from python_worker.chat import vllm_parts
from python_worker.exceptions import InvalidArgument, Unsupported

#: Fields that have no effect here, and what to do instead.
WITHOUT_EFFECT: Mapping[str, str] = {
    "stream": "call stream_chat to stream",
    "stream_options": "the last delta of stream_chat always has the usage",
    "echo": "the messages are the caller's own",
    "use_beam_search": "chat does not search beams",
    "return_token_offsets": "vLLM returns them only where a prompt is rendered and not run",
    "return_mm_kwargs": "vLLM returns them only where a prompt is rendered and not run",
    "mm_payload": "vLLM returns it only where a prompt is rendered and not run",
    "return_tokens_as_token_ids": "each entry of logprobs has the token's id",
}


def chat_request(fields: Mapping[str, Any]) -> Any:
    """Makes vLLM's ``ChatCompletionRequest``.

    Tools are strict unless they say otherwise: without it vLLM lets the model write arguments that
    do not fit the tool's schema, even with ``tool_choice: "required"``.

    Raises:
        InvalidArgument: A field is unknown, or its value is wrong.
        Unsupported: A field has no effect here.
    """
    import pydantic

    for name in fields:
        if reason := WITHOUT_EFFECT.get(name):
            raise Unsupported(f"{name}: {reason}", parameter=name)
    cls = vllm_parts.request_class()
    refuse_unknown((), fields.keys(), cls.model_fields)
    try:
        request = cls.model_validate(completed(fields))
    except pydantic.ValidationError as error:
        raise first_problem(error.errors()) from None
    for path, model in _models((), request):
        refuse_unknown(path, model.model_extra or (), type(model).model_fields)
    return request


def completed(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields with the defaults of the bridge's, and keys as pydantic wants them."""
    filled = dict(fields)
    if isinstance(bias := fields.get("logit_bias"), Mapping):
        filled["logit_bias"] = {str(token_id): value for token_id, value in bias.items()}
    if isinstance(tools := fields.get("tools"), list):
        filled["tools"] = [_strict(tool) for tool in tools]
    if isinstance(messages := fields.get("messages"), list):
        filled["messages"] = [_with_text(message) for message in messages]
    return filled


def _with_text(message: Any) -> Any:
    """A message whose content, if it is the result of a tool and no text, is JSON."""
    if not isinstance(message, Mapping) or message.get("role") != "tool":
        return message
    content = message.get("content")
    parts = isinstance(content, list) and all(
        isinstance(part, Mapping) and "type" in part for part in content
    )
    if isinstance(content, str) or (parts and content):
        return message
    try:
        text = json.dumps(content, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidArgument(
            f"messages: the result of a tool is a text or a value of JSON: {error}",
            parameter="messages",
        ) from error
    return {**message, "content": text}


def _strict(tool: Any) -> Any:
    """A tool whose arguments are held to its schema, if it has one and says nothing else."""
    if not isinstance(tool, Mapping) or not isinstance(tool.get("function"), Mapping):
        return tool
    function = tool["function"]
    if function.get("strict") is not None or function.get("parameters") is None:
        return tool
    return {**tool, "function": {**function, "strict": True}}


def _models(path: tuple[str, ...], value: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    """The models of pydantic's in a request, each with its path."""
    import pydantic

    if isinstance(value, pydantic.BaseModel):
        yield path, value
        for name in type(value).model_fields:
            # As a dictionary: some fields warn when they are read, because they are deprecated.
            yield from _models((*path, name), value.__dict__.get(name))
    elif isinstance(value, list):
        for index, element in enumerate(value):
            yield from _models((*path, str(index)), element)


def refuse_unknown(path: tuple[str, ...], given: Iterable[str], known: Iterable[str]) -> None:
    """Refuse the first key that is not known, with the one that it may have meant."""
    known = list(known)
    for name in given:
        if name not in known:
            parameter = ".".join((*path, str(name)))
            close = difflib.get_close_matches(str(name), known, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise InvalidArgument(f"{parameter}: there is no such field{hint}", parameter=parameter)


def first_problem(problems: Iterable[Any]) -> InvalidArgument:
    """What pydantic found first, in a sentence."""
    problem = next(iter(problems))
    path = ".".join(str(part) for part in problem["loc"])
    if not path:
        return InvalidArgument(problem["msg"])
    return InvalidArgument(f"{path}: {problem['msg']}", parameter=path)
