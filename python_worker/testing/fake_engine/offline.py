"""An ``LLM`` without vLLM, which a worker with the fake engine serves.

It has the methods of vLLM's ``LLM`` with their parameters, and makes what the fake engine makes:
known tokens, as a ``Behaviour`` says. Its requests are stepped in the thread of the call, all
together. What is around it, such as the end of a batch whose caller has left, is the worker's own.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from python_worker.exceptions import Cancelled
from python_worker.offline.llm_thread import stop_asked
from python_worker.testing.fake_engine.requests import (
    EngineCoreRequest,
    Parent,
    RequestOutputCollector,
    State,
)
from python_worker.testing.fake_engine.script import Behaviour
from python_worker.testing.fake_vllm.errors import (
    EngineDeadError,
    VLLMValidationError,
    make_error,
)
from python_worker.testing.fake_vllm.tokenizer import FakeTokenizer
from python_worker.testing.fake_vllm.types import (
    EngineArgs,
    LoRARequest,
    PoolingParams,
    Prompt,
    RequestOutput,
    RequestOutputKind,
    SamplingParams,
)

Messages = list[dict[str, Any]]
Params = SamplingParams | PoolingParams

#: The embedding of a prompt has so many numbers.
DIMENSIONS = 8

#: How long a step waits for the next token that is due; the caller is looked at between two steps.
STEP_SECONDS = 0.01


@dataclass
class ModelConfig:
    """What an ``LLM`` knows of its model."""

    model: str
    max_model_len: int


@dataclass
class OutputProcessor:
    """The requests that have not ended, by the engine's own ids."""

    request_states: dict[str, State] = field(default_factory=dict)


class FakeLLMEngine:
    """What is inside of an ``LLM``: requests, and steps that make one token of each that is due.

    Args:
        stop: Called before each step; raises where the caller has left.
    """

    def __init__(self, stop: Callable[[], None]) -> None:
        self.output_processor = OutputProcessor()
        self.tokenizer = FakeTokenizer()
        self.aborted: list[str] = []
        self.dead = False
        self.paused = False
        self._stop = stop
        self._steps = self._outputs_given = 0
        self._stepping = False
        self._guards = self

    @property
    def errored(self) -> bool:
        """Whether it is dead."""
        return self.dead

    @property
    def dead_error(self) -> BaseException:
        """Why."""
        return EngineDeadError()

    def shutdown(self, timeout: float | None = None) -> None:
        """It is dead from now on."""
        self.dead = True

    def _close(self) -> None:
        """Nothing is left to close."""

    def get_num_unfinished_requests(self) -> int:
        """How many requests have not ended."""
        return len(self.output_processor.request_states)

    def has_unfinished_requests(self) -> bool:
        """Whether there are any."""
        return bool(self.output_processor.request_states)

    def add_request(self, request_id: str, prompt: Prompt, params: Params) -> str:
        """Takes a request; returns the engine's own id of it."""
        self._stop()
        text, ids = self._parts(prompt)
        extra = getattr(params, "extra_args", None) or {}
        behaviour = Behaviour.of(extra.get("fake", {}))
        if behaviour.refuse is not None:
            raise make_error(behaviour.refuse)
        request = EngineCoreRequest(f"{request_id}-fake", request_id, text, ids, params, behaviour)
        queue = RequestOutputCollector(RequestOutputKind.FINAL_ONLY, request.request_id)
        count = params.n if isinstance(params, SamplingParams) else 1
        parent = Parent(request.request_id) if count > 1 else None
        for index in range(count):
            child = request if parent is None else request.child(index)
            state = State(child, index=index, parent=parent, queue=queue, tokenizer=self.tokenizer)
            state.schedule(time.monotonic())
            self.output_processor.request_states[child.request_id] = state
        return request.request_id

    def _parts(self, prompt: Prompt) -> tuple[str | None, list[int]]:
        if isinstance(prompt, dict):
            text, ids = prompt.get("prompt"), prompt.get("prompt_token_ids")
        else:
            text, ids = (prompt, None) if isinstance(prompt, str) else (None, prompt)
        if ids is None:
            ids = self.tokenizer.encode(str(text or ""))
        if not isinstance(ids, list) or not ids:
            raise VLLMValidationError("The decoder prompt cannot be empty", parameter="prompt")
        return None if text is None else str(text), ids

    def abort_request(self, request_ids: Iterable[str], internal: bool = False) -> None:
        """Forgets requests."""
        for request_id in request_ids:
            if self.output_processor.request_states.pop(request_id, None) is not None:
                self.aborted.append(request_id)

    def step(self) -> list[Any]:
        """Makes a token of each request that is due; returns the outputs of those that ended."""
        self._stop()
        if self.dead:
            raise EngineDeadError
        self._stepping = True
        try:
            outputs = list(self._make())
        finally:
            self._stepping = False
        self._steps += 1
        self._outputs_given += len(outputs)
        if not outputs:
            threading.Event().wait(STEP_SECONDS)
        return outputs

    def _make(self) -> Iterable[Any]:
        now = time.monotonic()
        for request_id, state in list(self.output_processor.request_states.items()):
            if state.due > now:
                continue
            behaviour = state.behaviour
            if behaviour.interrupts and state.made >= behaviour.after:
                if behaviour.fail is not None:
                    raise make_error(behaviour.fail)
                if behaviour.die:
                    self.dead = True
                    raise EngineDeadError
                continue  # It hangs.
            if state.step():
                del self.output_processor.request_states[request_id]
            else:
                state.schedule(now)
            if (output := state.queue.get_nowait()) is not None:
                yield output


class FakeLLM:
    """See the module's documentation."""

    def __init__(
        self,
        model: str,
        *,
        runner: Literal["auto", "generate", "pooling"] = "auto",
        dtype: str = "auto",
        seed: int = 0,
        enforce_eager: bool = False,
        chat_template: str | None = None,
        **kwargs: Any,
    ) -> None:
        error = kwargs.get("additional_config", {}).get("fake", {}).get("build_error")
        if error is not None:
            raise make_error(error)
        self.model_config = ModelConfig(model, kwargs.get("max_model_len") or 1024)
        self.llm_engine = FakeLLMEngine(self._check_stop)
        self._counter = itertools.count()
        self._version = "default"

    @classmethod
    def from_engine_args(cls, engine_args: EngineArgs) -> FakeLLM:
        """Makes one of the fields of an ``EngineArgs``."""
        return cls(**vars(engine_args))

    def _check_stop(self) -> None:
        """Raises where the caller has left; in vLLM's it is the guard of the engine that does."""
        if stop_asked():
            raise Cancelled("the call was given up")

    # --- Batches ---

    def generate(
        self,
        prompts: Prompt | Sequence[Prompt],
        sampling_params: SamplingParams | Sequence[SamplingParams] | None = None,
        *,
        use_tqdm: bool | Callable[..., Any] = True,
        lora_request: Sequence[LoRARequest] | LoRARequest | None = None,
        priority: int | Sequence[int] | None = None,
        tokenization_kwargs: dict[str, Any] | None = None,
        mm_processor_kwargs: dict[str, Any] | None = None,
    ) -> list[RequestOutput]:
        """Generates for each prompt, and returns the outputs in their order."""
        self.enqueue(prompts, sampling_params)
        return self.wait_for_completion(use_tqdm=use_tqdm)

    def enqueue(
        self,
        prompts: Prompt | Sequence[Prompt],
        sampling_params: SamplingParams | Sequence[SamplingParams] | None = None,
        lora_request: Sequence[LoRARequest] | LoRARequest | None = None,
        priority: int | Sequence[int] | None = None,
        use_tqdm: bool | Callable[..., Any] = True,
        tokenization_kwargs: dict[str, Any] | None = None,
        mm_processor_kwargs: dict[str, Any] | None = None,
    ) -> list[str]:
        """Adds requests, and runs none."""
        several = self._several(prompts)
        params = self._pairwise(sampling_params, len(several))
        return [self._add(*pair) for pair in zip(several, params, strict=True)]

    def chat(
        self,
        messages: Messages | Sequence[Messages],
        sampling_params: SamplingParams | Sequence[SamplingParams] | None = None,
        use_tqdm: bool | Callable[..., Any] = True,
    ) -> list[RequestOutput]:
        """Generates for each conversation, whose prompt is what its messages say, joined."""
        self.enqueue_chat(messages, sampling_params)
        return self.wait_for_completion(use_tqdm=use_tqdm)

    def enqueue_chat(
        self,
        messages: Messages | Sequence[Messages],
        sampling_params: SamplingParams | Sequence[SamplingParams] | None = None,
        use_tqdm: bool | Callable[..., Any] = True,
    ) -> list[str]:
        """Adds conversations, and runs none."""
        is_one = len(messages) > 0 and isinstance(messages[0], dict)
        many: Any = [messages] if is_one else messages
        texts = [" ".join(str(it["content"]) for it in conversation) for conversation in many]
        return self.enqueue(texts, sampling_params)

    def wait_for_completion(
        self,
        output_type: type[Any] | tuple[type[Any], ...] | None = None,
        *,
        use_tqdm: bool | Callable[..., Any] = True,
    ) -> list[Any]:
        """Runs all requests that there are, and returns their outputs in order."""
        outputs: list[Any] = []
        total = self.llm_engine.get_num_unfinished_requests()
        bar = use_tqdm(total=total, desc="Processed prompts") if callable(use_tqdm) else None
        while self.llm_engine.has_unfinished_requests():
            done = [it for it in self.llm_engine.step() if it.finished]
            outputs += done
            if bar is not None:
                bar.update(len(done))
        if bar is not None:
            bar.close()
        return sorted(outputs, key=lambda output: int(output.request_id))

    def encode(
        self,
        prompts: Prompt | Sequence[Prompt],
        pooling_params: PoolingParams | Sequence[PoolingParams] | None = None,
        *,
        use_tqdm: bool | Callable[..., Any] = True,
        pooling_task: Literal["embed", "token_embed"] | None = None,
    ) -> list[Any]:
        """Pools each prompt."""
        for prompt in self._several(prompts):
            self._add(prompt, PoolingParams(task=pooling_task, dimensions=DIMENSIONS))
        return self.wait_for_completion(use_tqdm=use_tqdm)

    # --- The rest ---

    def sleep(self, level: int = 1, mode: Literal["abort", "wait", "keep"] = "abort") -> None:
        """Does nothing but abort."""
        if mode == "abort":
            self.llm_engine.abort_request(list(self.llm_engine.output_processor.request_states))

    def wake_up(self, tags: list[str] | None = None) -> bool:
        """Does nothing."""
        return True

    def get_world_size(self, include_dp: bool = True) -> int:
        """Returns 1."""
        return 1

    def get_tokenizer(self) -> FakeTokenizer:
        """Returns the tokenizer."""
        return self.llm_engine.tokenizer

    def get_default_sampling_params(self) -> SamplingParams:
        """Returns those of nobody's choice."""
        return SamplingParams()

    def get_weight_version(self) -> str:
        """Returns the label that was set."""
        return self._version

    def update_weight_version(self, new_version: str) -> None:
        """Sets the label."""
        self._version = new_version

    def reset_prefix_cache(
        self, reset_running_requests: bool = False, reset_connector: bool = False
    ) -> bool:
        """Does nothing."""
        return True

    def aborted(self) -> list[str]:
        """For tests: the callers' ids of the requests that were aborted."""
        return list(self.llm_engine.aborted)

    def thread_name(self) -> str:
        """For tests: the thread that it runs in."""
        return threading.current_thread().name

    def __repr__(self) -> str:
        """The view of the model."""
        return f"FakeForCausalLM({self.model_config.model})"

    def _add(self, prompt: Prompt, params: Params) -> str:
        return self.llm_engine.add_request(str(next(self._counter)), prompt, params)

    def _several(self, prompts: Any) -> Sequence[Any]:
        is_one = isinstance(prompts, (str, dict)) or (prompts and isinstance(prompts[0], int))
        return [prompts] if is_one else prompts

    def _pairwise(self, params: Any, count: int) -> list[SamplingParams]:
        several = list(params) if isinstance(params, (list, tuple)) else [params] * count
        if len(several) != count:
            raise VLLMValidationError(
                f"The lengths of prompts ({count}) and params ({len(several)}) must be the same."
            )
        final = RequestOutputKind.FINAL_ONLY
        fields = [vars(it or SamplingParams()) for it in several]
        return [SamplingParams(**{**it, "output_kind": final}) for it in fields]
