"""The parameters and outputs of the fake engine, with vLLM's names, fields and defaults.

Parameters are checked by the worker against these annotations, and for ranges by themselves, as
vLLM's are; rare ones do nothing and come from ``fake_fields``. Outputs travel as vLLM's do:
``__bridge_record__`` names the class that each one stands for.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, NotRequired

from typing_extensions import TypedDict

from python_worker.testing.fake_vllm.configs import create_engine_config
from python_worker.testing.fake_vllm.errors import VLLMValidationError
from python_worker.testing.fake_vllm.fields import with_rare_fields

# --- Parameters ----------------------------------------------------------------


class RequestOutputKind(enum.Enum):
    """What each item of a stream holds."""

    CUMULATIVE = 0
    DELTA = 1
    FINAL_ONLY = 2


class TextPrompt(TypedDict):
    """A prompt as text."""

    prompt: str
    cache_salt: NotRequired[str]


class TokensPrompt(TypedDict):
    """A prompt as token ids."""

    prompt_token_ids: list[int]
    prompt: NotRequired[str]
    cache_salt: NotRequired[str]


Prompt = str | list[int] | TextPrompt | TokensPrompt


@with_rare_fields
@dataclass(frozen=True)
class StructuredOutputsParams:
    """Accepted and recorded; the fake engine does not obey it."""

    __bridge_record__: ClassVar[str] = "StructuredOutputsParams"

    json: str | dict[str, Any] | None = None
    regex: str | None = None
    choice: list[str] | None = None
    grammar: str | None = None
    json_object: bool | None = None
    structural_tag: str | None = None


@dataclass(frozen=True)
class LoRARequest:
    """Names an adapter. The fake engine opens no files."""

    __bridge_record__: ClassVar[str] = "LoRARequest"

    lora_name: str
    lora_int_id: int
    lora_path: str = ""
    base_model_name: str | None = None
    load_inplace: bool = False
    is_3d_lora_weight: bool = False

    def __post_init__(self) -> None:
        if self.lora_int_id < 1:
            raise ValueError(f"id must be > 0, got {self.lora_int_id}")


@with_rare_fields
@dataclass(frozen=True)
class SamplingParams:
    """How to sample. The fake engine obeys ``n``, ``max_tokens``, ``logprobs``, ``output_kind``.

    ``extra_args={"fake": {...}}`` holds a ``Behaviour`` for one request.
    """

    __bridge_record__: ClassVar[str] = "SamplingParams"

    n: int = 1
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    seed: int | None = None
    stop: str | list[str] | None = None
    stop_token_ids: list[int] | None = None
    ignore_eos: bool = False
    max_tokens: int | None = 16
    min_tokens: int = 0
    logprobs: int | None = None
    prompt_logprobs: int | None = None
    detokenize: bool = True
    skip_special_tokens: bool = True
    spaces_between_special_tokens: bool = True
    include_stop_str_in_output: bool = False
    output_kind: RequestOutputKind = RequestOutputKind.CUMULATIVE
    structured_outputs: StructuredOutputsParams | None = None
    logit_bias: dict[int, float] | None = None
    allowed_token_ids: list[int] | None = None
    extra_args: dict[str, Any] | None = None
    bad_words: list[str] | None = None

    def __post_init__(self) -> None:
        _check("n", self.n, at_least=1, at_most=16384)
        _check("temperature", self.temperature, at_least=0)
        _check("top_p", self.top_p, at_most=1)
        _check("min_p", self.min_p, at_least=0, at_most=1)
        _check("max_tokens", self.max_tokens, at_least=1)
        if self.top_p <= 0:
            raise VLLMValidationError(
                f"top_p must be in (0, 1], got {self.top_p}.", parameter="top_p", value=self.top_p
            )


@dataclass
class StreamingInput:
    """One element of a prompt that is a stream."""

    __bridge_record__: ClassVar[str] = "StreamingInput"

    prompt: Prompt
    sampling_params: SamplingParams | None = None


@with_rare_fields
@dataclass(frozen=True)
class PoolingParams:
    """How to pool. The fake engine obeys ``task`` and ``dimensions``."""

    __bridge_record__: ClassVar[str] = "PoolingParams"

    use_activation: bool | None = None
    dimensions: int | None = None
    step_tag_id: int | None = None
    returned_token_ids: list[int] | None = None
    task: Literal["embed", "classify", "token_embed", "token_classify"] | None = None
    skip_reading_prefix_cache: bool | None = None
    extra_kwargs: dict[str, Any] | None = None
    output_kind: RequestOutputKind = RequestOutputKind.FINAL_ONLY


@with_rare_fields
@dataclass(frozen=True)
class EngineArgs:
    """What an ``LLM`` is built from."""

    __bridge_record__: ClassVar[str] = "EngineArgs"

    model: str = "fake"
    served_model_name: str | list[str] | None = None
    tokenizer: str | None = None
    skip_tokenizer_init: bool = False
    trust_remote_code: bool = False
    revision: str | None = None
    runner: Literal["auto", "generate", "pooling", "draft"] = "auto"
    convert: Literal["auto", "none", "embed", "classify"] = "auto"
    dtype: str = "auto"
    quantization: str | None = None
    load_format: str = "auto"
    seed: int = 0
    max_model_len: int | None = None
    max_logprobs: int = 20
    max_num_seqs: int | None = None
    max_num_batched_tokens: int | None = None
    max_num_queued_reqs: int | None = None
    enforce_eager: bool = False
    enable_prefix_caching: bool | None = None
    enable_prompt_embeds: bool = False
    enable_sleep_mode: bool = False
    gpu_memory_utilization: float = 0.92
    kv_cache_memory_bytes: int | None = None
    num_gpu_blocks_override: int | None = None
    tensor_parallel_size: int = 1
    pipeline_parallel_size: int = 1
    data_parallel_size: int = 1
    distributed_executor_backend: str | None = None
    scheduling_policy: Literal["fcfs", "priority"] = "fcfs"
    enable_lora: bool = False
    max_loras: int = 1
    max_lora_rank: int = 16
    reasoning_parser: str = ""
    disable_log_stats: bool = False
    additional_config: dict[str, Any] = field(default_factory=dict)


@with_rare_fields
@dataclass(frozen=True)
class AsyncEngineArgs(EngineArgs):
    """What an engine is built from.

    ``additional_config={"fake": {...}}`` scripts the construction and what follows; see
    ``FakeAsyncLLM.from_engine_args``.
    """

    __bridge_record__: ClassVar[str] = "AsyncEngineArgs"

    enable_log_requests: bool = False

    def create_engine_config(self, usage_context: Any = None, headless: bool = False) -> Any:
        """Returns the ``configs.VllmConfig`` of an engine with these arguments."""
        return create_engine_config(self)


def _check(
    name: str, value: float | None, *, at_least: float | None = None, at_most: float | None = None
) -> None:
    if value is None:
        return
    if at_least is not None and value < at_least:
        raise VLLMValidationError(
            f"{name} must be at least {at_least}, got {value}.", parameter=name, value=value
        )
    if at_most is not None and value > at_most:
        raise VLLMValidationError(
            f"{name} must be at most {at_most}, got {value}.", parameter=name, value=value
        )


# --- Outputs -------------------------------------------------------------------


@dataclass
class Logprob:
    """The log probability of one token at one position."""

    __bridge_record__: ClassVar[str] = "Logprob"

    logprob: float
    rank: int | None = None
    decoded_token: str | None = None


@dataclass
class RequestStateStats:
    """The metrics of a request: one mutable object for all of its items, as in vLLM."""

    __bridge_record__: ClassVar[str] = "RequestStateStats"

    num_generation_tokens: int = 0
    num_preemptions: int = 0
    arrival_time: float = 0.0
    queued_ts: float = 0.0
    scheduled_ts: float = 0.0
    first_token_ts: float = 0.0
    last_token_ts: float = 0.0
    first_token_latency: float = 0.0
    is_corrupted: bool = False
    is_watermarked: bool = False
    is_watermark_skipped: bool = False


@dataclass
class CompletionOutput:
    """One of the ``n`` completions of a request."""

    __bridge_record__: ClassVar[str] = "CompletionOutput"

    index: int
    text: str
    token_ids: list[int]
    cumulative_logprob: float | None = None
    logprobs: list[dict[int, Logprob]] | None = None
    routed_experts: None = None
    finish_reason: str | None = None
    stop_reason: int | str | None = None
    lora_request: LoRARequest | None = None
    sampling_mask: None = None
    spec_decode_metrics: None = None
    weight_versions: None = None


@dataclass
class RequestOutput:
    """An item of ``generate``."""

    __bridge_record__: ClassVar[str] = "RequestOutput"

    request_id: str
    prompt: str | None
    prompt_token_ids: list[int] | None
    prompt_logprobs: None
    outputs: list[CompletionOutput]
    finished: bool
    metrics: RequestStateStats | None = None
    lora_request: LoRARequest | None = None
    encoder_prompt: str | None = None
    encoder_prompt_token_ids: list[int] | None = None
    num_cached_tokens: int | None = 0
    num_cache_creation_tokens: int | None = None
    prompt_token_id_logprobs: None = None
    kv_transfer_params: Mapping[str, Any] | None = None
    ec_transfer_params: Mapping[str, Any] | None = None

    def add(self, later: RequestOutput, *, aggregate: bool) -> None:
        """Merges an output that came before this one was taken; vLLM's rules.

        Args:
            later: The newer output of the same request.
            aggregate: Whether outputs are deltas, which add up, or states, which replace.
        """
        self.finished |= later.finished
        for new in later.outputs:
            known = {completion.index: n for n, completion in enumerate(self.outputs)}
            position = known.get(new.index)
            if position is None:
                self.outputs.append(new)
            elif not aggregate:
                self.outputs[position] = new
            else:
                old = self.outputs[position]
                old.text += new.text
                old.token_ids = [*old.token_ids, *new.token_ids]
                if new.logprobs:
                    old.logprobs = [*(old.logprobs or []), *new.logprobs]
                old.cumulative_logprob = new.cumulative_logprob
                old.finish_reason = new.finish_reason
                old.stop_reason = new.stop_reason


@dataclass
class PoolingOutput:
    """What a pooler made: a NumPy array of float32."""

    __bridge_record__: ClassVar[str] = "PoolingOutput"

    data: Any


@dataclass
class PoolingRequestOutput:
    """The item of ``encode``."""

    __bridge_record__: ClassVar[str] = "PoolingRequestOutput"

    request_id: str
    outputs: PoolingOutput
    prompt_token_ids: list[int]
    num_cached_tokens: int
    finished: bool
    error: None = None
