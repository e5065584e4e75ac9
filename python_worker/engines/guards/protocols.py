"""What the guards use of vLLM, as protocols: mypy sees through them, and no vLLM is imported.

Each protocol has the name of vLLM's class and only the members that a guard reads or calls.
``tests/python/vllm/test_guard_protocols.py`` compares them with the sources of the installed vLLM.
"""

# ruff: noqa: D102 - the methods of the engine are vLLM's, which documents them.

from __future__ import annotations

import asyncio
from collections.abc import (
    AsyncGenerator,
    Awaitable,
    Callable,
    Collection,
    Coroutine,
    Iterable,
    Mapping,
    Sequence,
)
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

# --- Configuration ---


class Model(Protocol):
    """A model of vLLM's."""

    forward: Callable[..., object]


class ModelRegistry(Protocol):
    """Finds the class of a model."""

    def resolve_model_cls(
        self, architectures: Sequence[str], model_config: ModelConfig
    ) -> tuple[type[Model], str]:
        """The class, and the name of its architecture."""


class ModelConfig(Protocol):
    """What an engine knows of its model."""

    max_model_len: int
    skip_tokenizer_init: bool
    enable_prompt_embeds: bool
    # Of torch's.
    dtype: object
    runner_type: str
    logits_processors: Sequence[str | type] | None
    # Of transformers, a class for each kind of model.
    hf_config: object

    @property
    def architectures(self) -> Sequence[str]:
        """The names of the model's classes."""

    @property
    def registry(self) -> ModelRegistry:
        """Where they are found."""

    def get_vocab_size(self) -> int:
        """How many token ids there are."""

    def get_inputs_embeds_size(self) -> int:
        """How many columns prompt embeddings have."""


class ParallelConfig(Protocol):
    """How an engine is distributed."""

    worker_extension_cls: str
    # Whether cores may come and go.
    enable_elastic_ep: bool

    @property
    def world_size_across_dp(self) -> int:
        """How many worker processes have the model, or a part of it."""


class LoRAConfig(Protocol):
    """How many adapters an engine takes."""

    max_loras: int


class StructuredOutputsConfig(Protocol):
    """How an engine keeps outputs to a format."""

    backend: str
    reasoning_parser: str


class ReasoningConfig(Protocol):
    """How an engine knows what a model thinks from what it says."""

    @property
    def reasoning_end_token_ids(self) -> Sequence[int] | None:
        """What it is forced to say when its budget for thinking is spent."""


class VllmConfig(Protocol):
    """An engine's configuration."""

    model_config: ModelConfig
    parallel_config: ParallelConfig
    lora_config: LoRAConfig | None
    structured_outputs_config: StructuredOutputsConfig
    reasoning_config: ReasoningConfig | None
    speculative_config: object | None


# --- Requests ---


class LoRARequest(Protocol):
    """Which adapter a request uses. vLLM compares two of them by their names only."""

    __struct_fields__: ClassVar[tuple[str, ...]]
    lora_name: str
    lora_int_id: int
    lora_path: str
    load_inplace: bool
    is_3d_lora_weight: bool


class StructuredOutputsParams(Protocol):
    """The form that an output is kept to."""

    json: object | None
    regex: str | None
    choice: Sequence[str] | None
    grammar: str | None
    json_object: bool | None
    structural_tag: str | None
    # The back end that vLLM chose for it.
    _backend: str | None


class SamplingParams(Protocol):
    """How tokens are chosen."""

    __struct_fields__: ClassVar[tuple[str, ...]]
    output_kind: Any  # vLLM's enum RequestOutputKind, whose members are taken from its class
    max_tokens: int | None
    min_tokens: int
    allowed_token_ids: Sequence[int] | None
    logit_bias: Mapping[int, float] | None
    bad_words: Sequence[str] | None
    stop_token_ids: Sequence[int] | None
    structured_outputs: StructuredOutputsParams | None
    thinking_token_budget: int | None
    trace_decode_token_ids: Sequence[int] | None

    @property
    def bad_words_token_ids(self) -> Sequence[Sequence[int]] | None:
        """What vLLM made of ``bad_words``."""

    @property
    def all_stop_token_ids(self) -> Collection[int]:
        """``stop_token_ids``, and what else ends a sequence of this model."""


class MultiModalFieldElem(Protocol):
    """One argument of the model for one image, video or sound."""

    data: object


class MultiModalFeatureSpec(Protocol):
    """One image, video or sound, as the model gets it."""

    data: Mapping[str, MultiModalFieldElem] | None
    modality: str
    mm_hash: str | None


class EngineCoreRequest(Protocol):
    """A request as it is sent to EngineCore."""

    request_id: str
    external_req_id: str | None
    prompt_token_ids: Sequence[int] | None
    prompt_embeds: object | None
    lora_request: LoRARequest | None
    cache_salt: str | None
    mm_features: Sequence[MultiModalFeatureSpec] | None
    sampling_params: SamplingParams | None
    resumable: bool
    reasoning_parser_kwargs: Mapping[str, object] | None


class RequestOutputCollector(Protocol):
    """Where the outputs of a request are put."""

    request_id: str
    aggregate: bool

    def put(self, output: Exception) -> None:
        """Take an output, or an error in its place."""


class IncrementalDetokenizer(Protocol):
    """Turns the tokens of a request into text."""

    def num_output_tokens(self) -> int:
        """How many there are."""


class StreamingUpdate(Protocol):
    """An element of a streamed prompt that waits for its turn."""

    prompt_token_ids: Sequence[int] | None


class ParentRequest(Protocol):
    """A request of several completions, each of which is a request to EngineCore."""

    request_id: str


class LogprobsProcessor(Protocol):
    """Makes the logprobs of a request."""

    def update_from_output(self, output: EngineCoreOutput) -> None:
        """Add those of a step."""


class RequestState(Protocol):
    """A request that has not ended."""

    # A field here: guards replace it.
    apply_streaming_update: Callable[[StreamingUpdate], None]
    parent_req: ParentRequest | None
    queue: RequestOutputCollector | None
    lora_request: LoRARequest | None
    streaming_input: bool
    # Elements that EngineCore has not begun; None when it has answered all that came.
    input_chunk_queue: Collection[object] | None
    prompt_len: int
    detokenizer: IncrementalDetokenizer | None
    logprobs_processor: LogprobsProcessor | None


class OutputProcessor(Protocol):
    """Makes outputs of what EngineCore sends."""

    request_states: Mapping[str, RequestState]

    def abort_requests(self, request_ids: Iterable[str], internal: bool) -> list[str]:
        """Forget requests; returns the ids that EngineCore knows them by."""


class InputProcessor(Protocol):
    """Makes requests of prompts. Its methods are fields here: guards replace them."""

    _validate_params: Callable[[object, object], object]
    process_inputs: Callable[..., EngineCoreRequest]
    process_inputs_async: Callable[..., Awaitable[EngineCoreRequest]]


# --- EngineCore ---


class Logprobs(Protocol):
    """Logprobs of some positions."""

    @property
    def logprobs(self) -> Any:
        """An array of numpy's or torch's: positions by tokens."""


class EngineCoreOutput(Protocol):
    """What a step has made of one request."""

    request_id: str
    new_token_ids: Sequence[int]
    new_logprobs: Logprobs | None
    new_prompt_logprobs_tensors: Logprobs | None
    finish_reason: object | None
    mm_cache_miss_hashes: Sequence[str] | None


class EngineCoreOutputs(Protocol):
    """What a step has made of all requests."""

    engine_index: int
    outputs: list[EngineCoreOutput]
    timestamp: float
    weight_version: str | None

    def __init__(
        self,
        *,
        engine_index: int,
        outputs: list[EngineCoreOutput],
        timestamp: float,
        weight_version: str | None,
    ) -> None: ...


class CoordinatorProcess(Protocol):
    """A process of multiprocessing."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def pid(self) -> int | None:
        """Its id."""

    @property
    def exitcode(self) -> int | None:
        """How it ended; None while it runs."""


class DPCoordinator(Protocol):
    """What divides requests among several cores, in a process of its own."""

    @property
    def proc(self) -> CoordinatorProcess:
        """The process."""


class BackgroundResources(Protocol):
    """What an engine's client of EngineCore has opened."""

    engine_dead: bool
    # With multiprocessing it has ``processes``, with Ray it has none.
    engine_manager: object | None
    coordinator: DPCoordinator | None
    # A context of pyzmq's.
    ctx: Any


class AsyncMPClient(Protocol):
    """The engine's client of EngineCore. Its methods are fields here: guards replace them."""

    resources: BackgroundResources
    outputs_queue: asyncio.Queue[Any]
    # Of each core: its rank, in two bytes.
    core_engines: Sequence[bytes]
    # A socket of pyzmq's, which all cores connect to.
    input_socket: Any
    add_request_async: Callable[[EngineCoreRequest], Awaitable[None]]
    get_output_async: Callable[[], Awaitable[EngineCoreOutputs]]
    is_scheduler_paused_async: Callable[[], Awaitable[bool]]
    _call_utility_async: Callable[..., Awaitable[object]]

    async def collective_rpc_async(
        self,
        method: str,
        timeout: float | None = None,  # noqa: ASYNC109 - vLLM's own parameter
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> object:
        """Call a method of the worker processes."""

    def shutdown(self, timeout: float | None = None) -> None:
        """End the processes of the engine and close what is open."""


class DPLBAsyncMPClient(AsyncMPClient, Protocol):
    """The client of an engine that has several cores."""

    # Which core has a request, by its id.
    reqs_in_flight: Mapping[str, bytes]


# --- The engine ---


class MultiModalCache(Protocol):
    """Knows what EngineCore has of images, videos and sounds."""

    # Methods, but guards replace them.
    is_cached_item: Callable[[str], bool]
    get_and_update_item: Callable[[Any, str], Any]

    def invalidate(self, mm_hash: str) -> None:
        """Forget one, so that the next request for it sends it again."""


class Renderer(Protocol):
    """Makes tokens and tensors of prompts."""

    @property
    def mm_processor_cache(self) -> MultiModalCache | None:
        """What it remembers, if it does."""


class Profiler(Protocol):
    """What traces the front end: vLLM's ``TorchProfilerWrapper``, or what stands for it."""

    def set_output_name(self, worker_name: str) -> None:
        """Names the next profile."""

    def start(self) -> None:
        """Starts, unless it has."""

    def stop(self) -> None:
        """Stops, if it has started, and writes the profile."""

    def shutdown(self) -> None:
        """Stops, if it has started."""


if TYPE_CHECKING:

    class AsyncLLM(Protocol):
        """The engine class that guards are mixed into."""

        vllm_config: VllmConfig
        model_config: ModelConfig
        output_processor: OutputProcessor
        renderer: Renderer
        output_handler: asyncio.Task[None] | None
        engine_core: AsyncMPClient
        input_processor: InputProcessor
        profiler: Profiler | None

        # Passed on as they came: vLLM's own parameters differ between versions.
        def __init__(self, *args: Any, **kwargs: Any) -> None: ...

        @property
        def tokenizer(self) -> object | None: ...

        @property
        def errored(self) -> bool: ...

        @property
        def dead_error(self) -> BaseException: ...

        def shutdown(self, timeout: float | None = None) -> None: ...

        async def start_profile(self, *args: Any, **kwargs: Any) -> None: ...

        def add_request(
            self,
            request_id: str,
            prompt: object,
            params: object,
            arrival_time: float | None = None,
            lora_request: LoRARequest | None = None,
            tokenization_kwargs: Mapping[str, Any] | None = None,
            *args: Any,
            **kwargs: Any,
        ) -> Coroutine[Any, Any, RequestOutputCollector]: ...

        def _add_request(
            self,
            request: EngineCoreRequest,
            prompt: str | None,
            parent_req: object | None,
            index: int,
            queue: RequestOutputCollector,
        ) -> Coroutine[Any, Any, object]: ...

        async def abort(self, request_id: str | Iterable[str], internal: bool = False) -> None: ...

        async def _add_streaming_input_request(
            self,
            request_id: str,
            input_stream: AsyncGenerator[Any, None],
            sampling_params: object,
            *args: Any,
        ) -> RequestOutputCollector: ...

        @staticmethod
        def _validate_streaming_input_sampling_params(params: object) -> None: ...

        def _run_output_handler(self) -> None: ...

        def get_num_unfinished_requests(self) -> int: ...

        async def get_supported_tasks(self) -> object: ...

        async def pause_generation(
            self, *, mode: str = "abort", clear_cache: bool = True
        ) -> None: ...

        async def resume_generation(self) -> None: ...

        async def is_paused(self) -> bool: ...

        async def sleep(self, level: int = 1, mode: str = "abort") -> None: ...

        async def wake_up(self, tags: list[str] | None = None) -> bool: ...

        async def collective_rpc(
            self,
            method: str,
            timeout: float | None = None,  # noqa: ASYNC109 - vLLM's own parameter
            args: tuple[Any, ...] = (),
            kwargs: dict[str, Any] | None = None,
        ) -> object: ...

        async def add_lora(self, lora_request: LoRARequest) -> bool: ...

        async def remove_lora(self, lora_id: int) -> bool: ...

        async def list_loras(self) -> set[int]: ...

        async def pin_lora(self, lora_id: int) -> bool: ...

        async def init_weight_transfer_engine(self, request: object) -> None: ...

        async def shutdown_weight_transfer_engine(self) -> None: ...

        async def start_weight_update(self) -> None: ...

        async def start_draft_weight_update(self) -> None: ...

        async def update_weights(self, request: object) -> None: ...

        async def finish_weight_update(self, weight_version: str | None = None) -> None: ...

        async def scale_elastic_ep(
            self, new_data_parallel_size: int, drain_timeout: int = 300
        ) -> None: ...

        async def handle_fault(self, fault_tolerance_request: object) -> object: ...

else:

    class AsyncLLM:
        """Empty at run time: a guard's ``super()`` has to reach vLLM's class, not a protocol."""
