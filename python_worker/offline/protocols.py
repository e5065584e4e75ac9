"""What the guards of this folder use of vLLM, as protocols: see ``engines.guards.protocols``."""

# ruff: noqa: D102 - the methods are vLLM's, which documents them.

from __future__ import annotations

import queue
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from python_worker.engines.guards.protocols import (
    BackgroundResources,
    EngineCoreOutputs,
    EngineCoreRequest,
    InputProcessor,
    LoRARequest,
    ModelConfig,
    MultiModalCache,
    OutputProcessor,
    VllmConfig,
)


class SyncMPClient(Protocol):
    """The client of EngineCore. Its methods are fields here: guards replace them."""

    resources: BackgroundResources
    outputs_queue: queue.Queue[Any]
    utility_results: dict[int, Any]
    add_request: Callable[[EngineCoreRequest], None]
    get_output: Callable[[], EngineCoreOutputs]
    call_utility: Callable[..., Any]
    shutdown: Callable[[float | None], None]


class Renderer(Protocol):
    """Makes prompts of what a caller gives."""

    @property
    def mm_processor_cache(self) -> MultiModalCache | None: ...

    def shutdown(self) -> None: ...


if TYPE_CHECKING:

    class LLMEngine(Protocol):
        """The engine inside of an ``LLM``."""

        vllm_config: VllmConfig
        model_config: ModelConfig
        input_processor: InputProcessor
        output_processor: OutputProcessor
        engine_core: SyncMPClient
        renderer: Renderer
        log_stats: bool

        # Passed on as they came: vLLM's own parameters differ between versions.
        def __init__(self, *args: Any, **kwargs: Any) -> None: ...

        @property
        def tokenizer(self) -> object | None: ...

        def get_num_unfinished_requests(self) -> int: ...

        def has_unfinished_requests(self) -> bool: ...

        def abort_request(self, request_ids: list[str], internal: bool = False) -> None: ...

        def add_request(
            self,
            request_id: str,
            prompt: object,
            params: object,
            arrival_time: float | None = None,
            lora_request: LoRARequest | None = None,
            *args: Any,
            **kwargs: Any,
        ) -> str: ...

        def step(self) -> list[Any]: ...

        def sleep(self, level: int = 1, mode: str = "abort") -> None: ...

        def wake_up(self, tags: list[str] | None = None) -> bool: ...

        def add_lora(self, lora_request: LoRARequest) -> bool: ...

        def remove_lora(self, lora_id: int) -> bool: ...

        def list_loras(self) -> Iterable[int]: ...

        def pin_lora(self, lora_id: int) -> bool: ...

        def collective_rpc(
            self,
            method: str,
            timeout: float | None = None,
            args: tuple[Any, ...] = (),
            kwargs: dict[str, Any] | None = None,
        ) -> list[Any]: ...

    class LLM(Protocol):
        """The class that ``LLMGuard`` is mixed into."""

        llm_engine: Any  # an ``LLMEngine`` with ``LLMEngineGuard`` mixed in
        model_config: ModelConfig

        def __init__(self, *args: Any, **kwargs: Any) -> None: ...

        def generate(self, *args: Any, **kwargs: Any) -> list[Any]: ...

        def enqueue(self, *args: Any, **kwargs: Any) -> list[str]: ...

        def chat(self, *args: Any, **kwargs: Any) -> list[Any]: ...

        def enqueue_chat(self, *args: Any, **kwargs: Any) -> list[str]: ...

        def wait_for_completion(self, *args: Any, **kwargs: Any) -> list[Any]: ...

        def beam_search(self, *args: Any, **kwargs: Any) -> list[Any]: ...

        def _beam_search_step(self, *args: Any, **kwargs: Any) -> bool: ...

        def encode(self, *args: Any, **kwargs: Any) -> list[Any]: ...

        def embed(self, *args: Any, **kwargs: Any) -> list[Any]: ...

        def classify(self, *args: Any, **kwargs: Any) -> list[Any]: ...

        def score(self, *args: Any, **kwargs: Any) -> list[Any]: ...

        def apply_model(self, func: Callable[..., Any]) -> list[Any]: ...

        def get_metrics(self) -> list[Any]: ...

        def init_weight_transfer_engine(self, request: Any) -> None: ...

        def shutdown_weight_transfer_engine(self) -> None: ...

        def start_weight_update(self) -> None: ...

        def start_draft_weight_update(self) -> None: ...

        def update_weights(self, request: Any) -> None: ...

        def finish_weight_update(self, weight_version: str | None = None) -> None: ...

        def _preprocess_cmpl(self, *args: Any, **kwargs: Any) -> Sequence[Any]: ...

        def _preprocess_chat(self, *args: Any, **kwargs: Any) -> Sequence[Any]: ...

        def _params_to_seq(self, params: Any, num_requests: int) -> Sequence[Any]: ...

else:

    class LLMEngine:
        """Empty at run time: a guard's ``super()`` has to reach vLLM's class, not a protocol."""

    class LLM:
        """See ``LLMEngine``."""
