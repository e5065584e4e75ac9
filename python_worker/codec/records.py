"""The classes that are sent as structs of their fields: vLLM's parameters and outputs.

One literal table. Classes are found by their qualified names, so that encoding does not import
vLLM. A unit test compares the table with ``generated/manifest.json``, from which the Elixir structs
are generated.

Another class, such as a fake engine's output, declares how it is sent by an attribute::

    class FakeOutput:
        __bridge_record__ = "RequestOutput"            # the fields of vLLM's class
        __bridge_record__ = ("Report", ("name", "n"))  # or fields of its own
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from operator import attrgetter
from typing import Any

RecordType = tuple[str, tuple[str, ...]]
"""How a class is sent: its short name, which is its name on the wire, and the fields to send."""

RECORDS: dict[str, RecordType] = {
    "vllm.outputs.RequestOutput": (
        "RequestOutput",
        (
            "request_id",
            "prompt",
            "prompt_token_ids",
            "prompt_logprobs",
            "prompt_token_id_logprobs",
            "outputs",
            "finished",
            "metrics",
            "lora_request",
            "encoder_prompt",
            "encoder_prompt_token_ids",
            "num_cached_tokens",
            "num_cache_creation_tokens",
            "kv_transfer_params",
            "ec_transfer_params",
        ),
    ),
    "vllm.outputs.CompletionOutput": (
        "CompletionOutput",
        (
            "index",
            "text",
            "token_ids",
            "cumulative_logprob",
            "logprobs",
            "routed_experts",
            "finish_reason",
            "stop_reason",
            "lora_request",
            "sampling_mask",
            "spec_decode_metrics",
            "weight_versions",
        ),
    ),
    "vllm.outputs.PoolingRequestOutput": (
        "PoolingRequestOutput",
        ("request_id", "outputs", "prompt_token_ids", "num_cached_tokens", "finished", "error"),
    ),
    "vllm.outputs.EmbeddingRequestOutput": (
        "EmbeddingRequestOutput",
        ("request_id", "outputs", "prompt_token_ids", "num_cached_tokens", "finished", "error"),
    ),
    "vllm.outputs.ClassificationRequestOutput": (
        "ClassificationRequestOutput",
        ("request_id", "outputs", "prompt_token_ids", "num_cached_tokens", "finished", "error"),
    ),
    "vllm.outputs.ScoringRequestOutput": (
        "ScoringRequestOutput",
        ("request_id", "outputs", "prompt_token_ids", "num_cached_tokens", "finished", "error"),
    ),
    "vllm.entrypoints.generate.beam_search.utils.BeamSearchOutput": (
        "BeamSearchOutput",
        ("sequences",),
    ),
    "vllm.entrypoints.generate.beam_search.utils.BeamSearchSequence": (
        "BeamSearchSequence",
        (
            "orig_prompt",
            "tokens",
            "logprobs",
            "lora_request",
            "cum_logprob",
            "text",
            "finish_reason",
            "stop_reason",
        ),
    ),
    "vllm.v1.metrics.reader.Counter": ("Counter", ("name", "labels", "value")),
    "vllm.v1.metrics.reader.Gauge": ("Gauge", ("name", "labels", "value")),
    "vllm.v1.metrics.reader.Histogram": (
        "Histogram",
        ("name", "labels", "count", "sum", "buckets"),
    ),
    "vllm.v1.metrics.reader.Vector": ("Vector", ("name", "labels", "values")),
    "vllm.outputs.PoolingOutput": ("PoolingOutput", ("data",)),
    "vllm.outputs.EmbeddingOutput": ("EmbeddingOutput", ("embedding",)),
    "vllm.outputs.ClassificationOutput": ("ClassificationOutput", ("probs",)),
    "vllm.outputs.ScoringOutput": ("ScoringOutput", ("score",)),
    "vllm.outputs.RequestError": ("RequestError", ("code", "message", "retryable")),
    "vllm.outputs.SamplingMask": ("SamplingMask", ("token_ids",)),
    "vllm.outputs.WeightVersionSpan": ("WeightVersionSpan", ("version", "start", "end")),
    "vllm.logprobs.Logprob": ("Logprob", ("logprob", "rank", "decoded_token")),
    "vllm.v1.metrics.stats.RequestStateStats": (
        "RequestStateStats",
        (
            "num_generation_tokens",
            "num_preemptions",
            "arrival_time",
            "queued_ts",
            "scheduled_ts",
            "first_token_ts",
            "last_token_ts",
            "first_token_latency",
            "is_corrupted",
            "is_watermarked",
            "is_watermark_skipped",
        ),
    ),
    "vllm.v1.metrics.stats.RequestSpecDecodeMetrics": (
        "RequestSpecDecodeMetrics",
        (
            "num_spec_tokens",
            "histogram",
            "num_draft_tokens",
            "per_step_accepted",
            "per_step_drafted",
        ),
    ),
    "vllm.lora.request.LoRARequest": (
        "LoRARequest",
        (
            "lora_name",
            "lora_int_id",
            "lora_path",
            "base_model_name",
            "load_inplace",
            "is_3d_lora_weight",
        ),
    ),
    "python_worker.pooling.answers.EmbeddingBatch": (
        "EmbeddingBatch",
        ("id", "model", "embeddings", "prompt_tokens", "cached_tokens", "usage"),
    ),
    "python_worker.pooling.answers.ClassificationBatch": (
        "ClassificationBatch",
        ("id", "model", "probs", "labels", "prompt_tokens", "cached_tokens", "usage"),
    ),
    "python_worker.pooling.answers.ScoreBatch": (
        "ScoreBatch",
        ("id", "model", "scores", "prompt_tokens", "cached_tokens", "usage"),
    ),
    "python_worker.pooling.answers.PoolingBatch": (
        "PoolingBatch",
        ("id", "model", "task", "outputs", "prompt_tokens", "cached_tokens", "usage"),
    ),
    "python_worker.engines.kv_events.KVEventBatch": (
        "KVEventBatch",
        ("data_parallel_rank", "sequence", "missed", "timestamp", "events"),
    ),
    "python_worker.pooling.answers.PoolingUsage": (
        "PoolingUsage",
        ("prompt_tokens", "cached_tokens"),
    ),
    "python_worker.chat.answers.ChatCompletion": (
        "ChatCompletion",
        (
            "id",
            "model",
            "choices",
            "usage",
            "prompt",
            "prompt_token_ids",
        ),
    ),
    "python_worker.chat.answers.ChatChoice": (
        "ChatChoice",
        (
            "index",
            "message",
            "finish_reason",
            "stop_reason",
            "logprobs",
            "token_ids",
        ),
    ),
    "python_worker.chat.answers.ChatMessage": (
        "ChatMessage",
        (
            "role",
            "content",
            "reasoning",
            "tool_calls",
            "parsed",
        ),
    ),
    "python_worker.chat.answers.ChatUsage": (
        "ChatUsage",
        (
            "prompt_tokens",
            "completion_tokens",
            "total_tokens",
            "cached_tokens",
            "reasoning_tokens",
        ),
    ),
    "python_worker.chat.answers.ChatDelta": (
        "ChatDelta",
        (
            "id",
            "index",
            "role",
            "content",
            "reasoning",
            "tool_calls",
            "finish_reason",
            "stop_reason",
            "logprobs",
            "token_ids",
            "usage",
        ),
    ),
    "python_worker.chat.answers.ToolCall": (
        "ToolCall",
        (
            "id",
            "name",
            "arguments",
            "arguments_json",
        ),
    ),
    "python_worker.chat.answers.ToolCallDelta": (
        "ToolCallDelta",
        (
            "index",
            "id",
            "name",
            "arguments_json",
        ),
    ),
    "python_worker.chat.answers.TokenLogprob": (
        "TokenLogprob",
        (
            "token",
            "token_id",
            "logprob",
            "top",
        ),
    ),
    "vllm.sampling_params.SamplingParams": (
        "SamplingParams",
        (
            "n",
            "presence_penalty",
            "frequency_penalty",
            "repetition_penalty",
            "temperature",
            "watermarking",
            "top_p",
            "top_k",
            "min_p",
            "seed",
            "stop",
            "stop_token_ids",
            "ignore_eos",
            "max_tokens",
            "min_tokens",
            "logprobs",
            "prompt_logprobs",
            "prompt_logprob_token_ids",
            "prompt_logprob_start",
            "logprob_token_ids",
            "flat_logprobs",
            "detokenize",
            "skip_special_tokens",
            "spaces_between_special_tokens",
            "include_stop_str_in_output",
            "output_kind",
            "stream_interval",
            "skip_clone",
            "output_text_buffer_length",
            "structured_outputs",
            "logit_bias",
            "allowed_token_ids",
            "extra_args",
            "bad_words",
            "skip_reading_prefix_cache",
            "thinking_token_budget",
            "repetition_detection",
            "routed_experts_prompt_start",
            "trace_decode_token_ids",
        ),
    ),
    "vllm.sampling_params.StructuredOutputsParams": (
        "StructuredOutputsParams",
        (
            "json",
            "regex",
            "choice",
            "grammar",
            "json_object",
            "disable_any_whitespace",
            "disable_additional_properties",
            "whitespace_pattern",
            "structural_tag",
        ),
    ),
    "vllm.sampling_params.RepetitionDetectionParams": (
        "RepetitionDetectionParams",
        ("max_pattern_size", "min_pattern_size", "min_count"),
    ),
    "vllm.pooling_params.PoolingParams": (
        "PoolingParams",
        (
            "use_activation",
            "dimensions",
            "step_tag_id",
            "returned_token_ids",
            "task",
            "requires_token_ids",
            "skip_reading_prefix_cache",
            "late_interaction_params",
            "extra_kwargs",
            "output_kind",
        ),
    ),
    "vllm.pooling_params.LateInteractionParams": (
        "LateInteractionParams",
        ("mode", "query_key", "query_uses"),
    ),
}

FLAT_LOGPROBS = "vllm.logprobs.FlatLogprobs"
"""vLLM's compact logprobs. Not a record: it is sent as the list of dicts that it represents."""

_FIELDS_BY_NAME = dict(RECORDS.values())


def fields_of(name: str) -> tuple[str, ...]:
    """Returns the fields of the class with that short name."""
    return _FIELDS_BY_NAME[name]


def record_of(cls: type) -> RecordType | None:
    """Returns how `cls` is sent: its own entry, or that of the nearest base class; else None."""
    hashable: Any = cls  # mypy takes a class for unhashable
    return _find(hashable)


@functools.lru_cache(maxsize=256)
def _find(cls: Any) -> RecordType | None:
    for base in cls.__mro__:
        declared = base.__dict__.get("__bridge_record__")
        if declared is not None:
            if isinstance(declared, str):
                return declared, _FIELDS_BY_NAME[declared]
            name, fields = declared
            return name, tuple(fields)
        if found := RECORDS.get(qualified_name(base)):
            return found
    return None


def qualified_name(cls: type) -> str:
    """Returns the name of a class with its module, such as ``torch.Tensor``."""
    return f"{cls.__module__}.{cls.__qualname__}"


def field_reader(fields: tuple[str, ...]) -> Callable[[Any], dict[str, object]]:
    """Returns a function from an object to a dict of its fields.

    Fields that the object lacks are left out: older and newer versions of vLLM lack some.
    """
    # attrgetter runs in C. With one name it returns no tuple, so a single name is given twice.
    read = attrgetter(*(fields if len(fields) > 1 else fields * 2)) if fields else None

    def read_fields(value: Any) -> dict[str, object]:
        if read is None:
            return {}
        try:
            return dict(zip(fields, read(value), strict=False))
        except AttributeError:
            return {name: getattr(value, name) for name in fields if hasattr(value, name)}

    return read_fields


def tuple_reader(fields: tuple[str, ...]) -> Callable[[Any], tuple[Any, ...]]:
    """Returns a function from an object to the tuple of its fields, in C if there are several."""
    if len(fields) > 1:
        return attrgetter(*fields)
    return lambda value: tuple([getattr(value, name) for name in fields])
