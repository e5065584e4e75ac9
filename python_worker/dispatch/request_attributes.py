"""The attributes of a request's span, in the names of OpenTelemetry's conventions for GenAI.

They are read from the answer when the request has ended: tokens and why it ended, never a text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

PROVIDER: Final = "vllm"
"""The conventions have no value for vLLM; they allow one of one's own."""

OPERATIONS: Final[Mapping[tuple[str, str], str]] = {
    ("AsyncLLM", "generate"): "text_completion",
    ("AsyncLLM", "add_request"): "text_completion",
    ("AsyncLLM", "chat"): "chat",
    ("AsyncLLM", "stream_chat"): "chat",
    ("AsyncLLM", "embed"): "embeddings",
    ("AsyncLLM", "encode"): "pooling",
    ("AsyncLLM", "encode_batch"): "pooling",
    ("AsyncLLM", "classify"): "classify",
    ("AsyncLLM", "score"): "score",
    ("LLM", "generate"): "text_completion",
    ("LLM", "beam_search"): "text_completion",
    ("LLM", "chat"): "chat",
    ("LLM", "embed"): "embeddings",
    ("LLM", "encode"): "pooling",
    ("LLM", "classify"): "classify",
    ("LLM", "score"): "score",
}
"""By class and method. ``pooling``, ``classify`` and ``score`` have no name in the conventions."""

INPUT: Final = "gen_ai.usage.input_tokens"
OUTPUT: Final = "gen_ai.usage.output_tokens"
REASONS: Final = "gen_ai.response.finish_reasons"
RESPONSE_MODEL: Final = "gen_ai.response.model"

Attributes = dict[str, str | int | Sequence[str]]


def of_request(operation: str, model: str | None) -> Attributes:
    """What is known when a request comes in.

    Args:
        operation: One of ``OPERATIONS``.
        model: The name that the engine serves its model under.
    """
    attributes: Attributes = {
        "gen_ai.operation.name": operation,
        "gen_ai.provider.name": PROVIDER,
    }
    if model is not None:
        attributes["gen_ai.request.model"] = model
    return attributes


def of_answer(answer: object, *, whole: bool = True, single: bool = True) -> Attributes:
    """What the answer of a request says.

    Args:
        answer: The result of the call, or the last item of its stream.
        whole: Whether its completions hold all of their tokens.
        single: Whether the request has one completion, of which vLLM's statistics then are.
    """
    if isinstance(answer, list):
        each = [of_answer(it, whole=whole) for it in answer]
        totals = {name: _total(name, each) for name in (INPUT, OUTPUT)}
        return {name: total for name, total in totals.items() if total is not None}
    usage = getattr(answer, "usage", None)
    if usage is not None:
        return _of_usage(answer, usage)
    attributes: Attributes = {}
    prompt = getattr(answer, "prompt_token_ids", None)
    if isinstance(prompt, Sequence):
        encoder = getattr(answer, "encoder_prompt_token_ids", None) or ()
        attributes[INPUT] = len(prompt) + len(encoder)
    completions = getattr(answer, "outputs", None)
    if isinstance(completions, list):
        attributes |= _of_completions(answer, completions, whole=whole, single=single)
    name = getattr(getattr(answer, "lora_request", None), "lora_name", None)
    if isinstance(name, str):
        attributes[RESPONSE_MODEL] = name
    return attributes


def _of_usage(answer: object, usage: object) -> Attributes:
    """Of a chat's answer or last delta, or of a batch of pooling."""
    attributes: Attributes = {}
    for name, field in ((INPUT, "prompt_tokens"), (OUTPUT, "completion_tokens")):
        if isinstance(count := getattr(usage, field, None), int):
            attributes[name] = count
    # An engine without a served name has the empty one in its answers.
    if isinstance(model := getattr(answer, "model", None), str) and model:
        attributes[RESPONSE_MODEL] = model
    if reasons := _reasons(getattr(answer, "choices", None) or [answer]):
        attributes[REASONS] = reasons
    return attributes


def _of_completions(
    answer: object, completions: list[object], *, whole: bool, single: bool
) -> Attributes:
    attributes: Attributes = {}
    made = getattr(getattr(answer, "metrics", None), "num_generation_tokens", None)
    if whole:
        attributes[OUTPUT] = sum(len(getattr(it, "token_ids", ())) for it in completions)
    elif single and isinstance(made, int):
        attributes[OUTPUT] = made
    if (whole or single) and (reasons := _reasons(completions)):
        attributes[REASONS] = reasons
    return attributes


def _reasons(completions: Iterable[object]) -> list[str]:
    reasons = (getattr(it, "finish_reason", None) for it in completions)
    return [it for it in reasons if isinstance(it, str)]


def _total(name: str, each: Iterable[Attributes]) -> int | None:
    counts = [count for it in each if isinstance(count := it.get(name), int)]
    return sum(counts) if counts else None
