"""A request of a chat, made by LLaMA-Factory's engine.

Rendering, tokenizing and reading media block, and a tokenizer belongs to one thread at a time. So
all of it runs in the one thread of its engine.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, Final

from python_worker.exceptions import BridgeError, InvalidArgument, LimitExceeded, Unsupported
from python_worker.integrations.llama_factory import media
from python_worker.integrations.llama_factory.hosting import RequestParts, returned
from python_worker.integrations.llama_factory.options import GenerationOptions

MAX_PROMPT_LENGTH: Final = 2**31 - 1

# Searching and reading holds up the whole worker: Python runs nothing else meanwhile. The searches
# of LLaMA-Factory look through the rest of a text once for each opening word, 9 ns for a character:
# with these limits one takes half a second at most.
MAX_SEARCHED: Final = 50_000_000
MAX_ANSWER: Final = 32_768
MAX_TOOLS: Final = 1_000_000

# vLLM's name of what LLaMA-Factory has many of.
_LISTS: Final = ("image", "video", "audio")


@dataclass(frozen=True)
class Chat:
    """What a caller asks for.

    Attributes:
        messages: Maps with ``role`` and ``content``.
        system: What the model is told about its task.
        tools: Descriptions of tools, as JSON or as what it stands for.
        media: By their kinds.
        options: Those of the request.
    """

    messages: list[dict[str, str]]
    system: str | None = None
    tools: str | list[dict[str, Any]] | None = None
    media: Mapping[str, list[Any] | None] = field(default_factory=dict)
    options: GenerationOptions = field(default_factory=GenerationOptions)


def request_of(engine: Any, chat: Chat) -> RequestParts:
    """The request that LLaMA-Factory's engine makes of a chat.

    Raises:
        InvalidArgument: The chat cannot be rendered.
        Unsupported: A role is none of LLaMA-Factory's.
        MediaNotFound: There is no file of an image, video or audio.
    """
    messages = _messages(chat.messages)
    _check_search(messages, engine.template)
    tools = _tools(chat.tools)
    given = {kind: media.checked(kind, chat.media.get(kind)) for kind in media.KINDS}
    chat.options.warn()
    parts: RequestParts = making(
        "a prompt of this",
        lambda: returned(
            engine._generate(messages, chat.system, tools, **given, **chat.options.keywords())
        ),
    )
    if None in parts.prompt["prompt_token_ids"] or None in parts.params["stop_token_ids"]:
        raise InvalidArgument(
            "template: it has tokens that the model's tokenizer does not have; take the template "
            "of the model, or none",
            parameter="template",
        )
    return RequestParts(
        _prompt(parts.prompt), {**parts.params, **chat.options.added()}, parts.request_id
    )


def params_of(engine: Any, prompt_length: int, options: GenerationOptions) -> dict[str, Any]:
    """The sampling parameters of a request whose prompt has a length.

    Raises:
        InvalidArgument: The length is none.
    """
    if not 0 <= prompt_length <= MAX_PROMPT_LENGTH:
        raise InvalidArgument(
            f"prompt_length: wants an int from 0 to {MAX_PROMPT_LENGTH}, got {prompt_length}",
            parameter="prompt_length",
        )
    lengthy = copy.copy(engine)
    lengthy.template = SimpleNamespace(
        mm_plugin=SimpleNamespace(process_messages=lambda messages, *_media: messages),
        encode_oneturn=lambda *_chat: (range(prompt_length), []),
        get_stop_token_ids=engine.template.get_stop_token_ids,
    )
    message = {"role": "user", "content": ""}
    parts = making(
        "sampling parameters of this",
        lambda: returned(lengthy._generate([message], **options.keywords())),
    )
    return {**parts.params, **options.added()}


def making(what: str, make: Callable[[], Any]) -> Any:
    """Calls LLaMA-Factory with what a caller gave: whatever fails there is about that.

    Args:
        what: It is to make.
        make: Calls it.

    Raises:
        Unsupported: LLaMA-Factory says so.
        InvalidArgument: Anything else went wrong.
    """
    try:
        return make()
    except (BridgeError, MemoryError):
        raise
    except NotImplementedError as error:
        raise Unsupported(f"LLaMA-Factory: {error}") from error
    except (ValueError, RuntimeError) as error:
        raise InvalidArgument(f"LLaMA-Factory: {error}") from error
    except Exception as error:
        raise InvalidArgument(
            f"LLaMA-Factory cannot make {what}: {type(error).__name__}: {error}"
        ) from error


def _messages(given: list[dict[str, str]]) -> list[dict[str, str]]:
    """A copy, as LLaMA-Factory writes placeholders into the messages."""
    if not given:
        raise InvalidArgument("messages: wants at least one", parameter="messages")
    for index, message in enumerate(given):
        if message.keys() != {"role", "content"}:
            raise InvalidArgument(
                f"messages[{index}]: wants `role` and `content`, got "
                f"{', '.join(sorted(message)) or 'neither'}",
                parameter=f"messages[{index}]",
            )
    return [dict(message) for message in given]


def _check_search(messages: list[dict[str, str]], template: Any) -> None:
    """Refuses texts that LLaMA-Factory would search for too long."""
    for word in (template.thought_words[0], template.tool_call_words[0]):
        for index, message in enumerate(messages):
            content = message["content"]
            if (count := content.count(word.strip())) * len(content) > MAX_SEARCHED:
                raise LimitExceeded(
                    f"messages[{index}]: {len(content)} characters with {count} times "
                    f"{word.strip()!r} take too long to search",
                    parameter=f"messages[{index}]",
                )


def check_answer(content: str) -> None:
    """Refuses an answer that LLaMA-Factory would search for too long.

    Raises:
        LimitExceeded: It is.
    """
    if len(content) > MAX_ANSWER:
        raise LimitExceeded(
            f"content: tool calls are searched in at most {MAX_ANSWER} characters, got "
            f"{len(content)}",
            parameter="content",
        )


def _tools(given: str | list[dict[str, Any]] | None) -> str | None:
    """Descriptions of tools as JSON."""
    if given is None or given == "":
        return None
    if not isinstance(given, str):
        try:
            given = json.dumps(given, ensure_ascii=False)
        except (TypeError, ValueError, RecursionError) as error:
            raise InvalidArgument(f"tools: are no JSON: {error}", parameter="tools") from error
    if len(given) > MAX_TOOLS:
        raise LimitExceeded(
            f"tools: have at most {MAX_TOOLS} characters as JSON, got {len(given)}",
            parameter="tools",
        )
    try:
        tools = json.loads(given)
    except (ValueError, RecursionError) as error:
        raise InvalidArgument(f"tools: are no JSON: {error}", parameter="tools") from error
    if not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools):
        raise InvalidArgument("tools: wants a list of maps as JSON", parameter="tools")
    return given


def _prompt(prompt: dict[str, Any]) -> dict[str, Any]:
    """A prompt without media that are not there, and with lists: audio comes as an iterator."""
    found = prompt.get("multi_modal_data") or {}
    lists = {name: list(found[name]) for name in _LISTS if name in found}
    ids = {"prompt_token_ids": prompt["prompt_token_ids"]}
    return {**ids, "multi_modal_data": lists} if lists else ids
