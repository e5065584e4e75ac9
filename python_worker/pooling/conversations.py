"""Conversations as inputs: rendered by the model's chat template, as in a chat."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from python_worker.chat.requests import first_problem, refuse_unknown
from python_worker.pooling import vllm_parts

#: What a conversation may have, of the fields of vLLM's request.
FIELDS = (
    "messages",
    "add_generation_prompt",
    "continue_final_message",
    "add_special_tokens",
    "chat_template",
    "chat_template_kwargs",
    "media_io_kwargs",
    "mm_processor_kwargs",
    "cache_salt",
)

#: Those that are no matter of the template.
_EXTRAS = ("mm_processor_kwargs", "cache_salt")


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
    """
    import pydantic

    refuse_unknown((), fields.keys(), FIELDS)
    try:
        request = vllm_parts.chat_request_class(task).model_validate(dict(fields))
    except pydantic.ValidationError as error:
        raise first_problem(error.errors()) from None
    extras = {name: fields[name] for name in _EXTRAS if fields.get(name) is not None}
    context = vllm_parts.chat_context(request, params.clone(), extras)
    (made,) = processor.get_request_factory_online(context)
    return {**made, "tok_params": made["tok_params"].with_kwargs(**(tokenization or {}))}
