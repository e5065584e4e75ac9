"""Conversations as inputs: rendered by the model's chat template, as in a chat."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from python_worker.chat.requests import first_problem, refuse_unknown
from python_worker.pooling import vllm_parts
from python_worker.pooling.inputs import check_content

#: What a conversation may have, of the fields of vLLM's request.
FIELDS = (
    "messages",
    "add_generation_prompt",
    "continue_final_message",
    "add_special_tokens",
    "chat_template",
    "chat_template_kwargs",
    "cache_salt",
)


def render_params(
    processor: Any,
    task: str,
    fields: Mapping[str, Any],
    params: Any,
    tokenization: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """What vLLM's processor renders a conversation from.

    Args:
        processor: The processor of the task.
        task: What is computed.
        fields: The conversation.
        params: Its pooling parameters.
        tokenization: The ``tokenization_kwargs`` of the batch.

    Raises:
        InvalidArgument: A field is unknown, or its value is wrong.
        Unsupported: A message has an image, a video or audio.
    """
    import pydantic

    refuse_unknown((), fields.keys(), FIELDS)
    try:
        request = vllm_parts.chat_request_class(task).model_validate(dict(fields))
    except pydantic.ValidationError as error:
        raise first_problem(error.errors()) from None
    for number, message in enumerate(fields["messages"]):
        check_content(message.get("content"), f"messages[{number}].content")
    salt = fields.get("cache_salt")
    extras = {} if salt is None else {"cache_salt": salt}
    context = vllm_parts.chat_context(request, params.clone(), extras)
    (made,) = processor.get_request_factory_online(context)
    return {**made, "tok_params": made["tok_params"].with_kwargs(**(tokenization or {}))}
