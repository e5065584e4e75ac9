"""From a context to the prompt of a request: mellea's messages, and the model's chat template."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from mellea.backends.utils import to_chat

from python_worker.chat.completions import chat_prompt
from python_worker.exceptions import InvalidArgument
from python_worker.integrations.mellea import images
from python_worker.integrations.mellea.generation import Engine
from python_worker.integrations.mellea.templates import refused

NOT_A_CHAT: Final = "Does not yet support non-chat contexts."

ADD_GENERATION_PROMPT: Final = "add_generation_prompt"

Messages = list[dict[str, Any]]
Shown = list[list[images.Image]]


class Prompt(NamedTuple):
    """A chat that was rendered.

    Attributes:
        messages: Its messages, without their images.
        text: The prompt as a text.
        of_engine: The prompt as the engine takes it.
    """

    messages: Messages
    text: str
    of_engine: Any


async def messages_of(
    action: Any, ctx: Any, formatter: Any, system: str | None
) -> tuple[Messages, Shown]:
    """The messages of a chat, and the images that each of them shows.

    Args:
        action: What is said to the model.
        ctx: What was said before.
        formatter: Renders components.
        system: A system prompt, which comes first.

    Raises:
        InvalidArgument: The context is none of a chat, or a component cannot be rendered.
    """
    if not ctx.is_chat_context:
        raise InvalidArgument(NOT_A_CHAT, parameter="context")
    return await asyncio.to_thread(_as_chat, action, ctx, formatter, system)


def _as_chat(action: Any, ctx: Any, formatter: Any, system: str | None) -> tuple[Messages, Shown]:
    with refused("action"):
        messages: Messages = to_chat(action, ctx, formatter, system)
    spans = [*ctx.view_for_generation(), action]
    shown = [images.of(span) for span in spans]
    # Each span is a message. A system prompt is one more, before them.
    return messages, [[] for _ in range(len(messages) - len(spans))] + shown


async def rendered(
    engine: Engine,
    messages: Messages,
    shown: Shown,
    tools: list[dict[str, Any]],
    template: dict[str, Any],
) -> Prompt:
    """A chat as the engine takes it.

    Args:
        engine: The engine.
        messages: The messages.
        shown: The images of each.
        tools: Those that the model is offered.
        template: Variables of the chat template.

    Raises:
        InvalidArgument: The chat template does not take it, or the model takes no images.
    """
    tokenizer = engine.get_tokenizer()
    if inspect.isawaitable(tokenizer):
        tokenizer = await tokenizer
    if not any(shown):
        return await asyncio.to_thread(_as_text, tokenizer, messages, tools, template)
    prompt = await _with_images(engine, images.with_parts(messages, shown), tools, template)
    text = prompt.get("prompt") or tokenizer.decode(prompt["prompt_token_ids"])
    return Prompt(messages, text, prompt)


def _as_text(
    tokenizer: Any, messages: Messages, tools: list[dict[str, Any]], template: Mapping[str, Any]
) -> Prompt:
    with refused("context"):
        text: str = tokenizer.apply_chat_template(
            messages, tools=tools or None, tokenize=False, **template
        )
    # The template has written the special tokens; the engine's tokenizer would add them again.
    token_ids = list(tokenizer.encode(text, add_special_tokens=False))
    return Prompt(messages, text, {"prompt_token_ids": token_ids, "prompt": text})


async def _with_images(
    engine: Any, messages: Messages, tools: list[dict[str, Any]], template: dict[str, Any]
) -> Any:
    """A chat with images, rendered as ``Vllm.chat`` does it: with vLLM's renderer."""
    if getattr(getattr(engine, "renderer", None), "mm_processor", None) is None:
        raise InvalidArgument(
            "images: the model of this engine takes text only", parameter="images"
        )
    variables = dict(template)
    fields: dict[str, Any] = {
        "messages": messages,
        ADD_GENERATION_PROMPT: variables.pop(ADD_GENERATION_PROMPT),
        "chat_template_kwargs": variables,
    }
    if tools:
        # The calls are found in the text by mellea.
        fields |= {"tools": tools, "tool_choice": "none"}
    return await chat_prompt(engine, fields)


def thinking(value: Any) -> dict[str, Any]:
    """What the option THINKING is called in chat templates; a template ignores what it has not."""
    if value is None:
        return {}
    if isinstance(value, str):
        return {"reasoning_effort": value}
    return {"enable_thinking": bool(value), "thinking": bool(value)}
