"""Stand-ins for vLLM's LLM and LLMEngine to mix guards into: they record calls, as told."""

from __future__ import annotations

import queue
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

from tests.python.support.engine_class import InputProcessor, OutputProcessor, configuration


class SyncCore:
    """Stands in for the engine's blocking client of EngineCore.

    Attributes:
        sent: The requests that it was sent.
        answers: What its utility calls return, by name; an exception is raised, and a name that is
            not there is never answered.
        asked: The names of the utility calls that were made.
    """

    def __init__(self) -> None:
        self.resources = SimpleNamespace(engine_dead=False, engine_manager=None, coordinator=None)
        self.outputs_queue: Any = queue.Queue()
        self.utility_results: dict[int, Future[Any]] = {}
        self.sent: list[Any] = []
        self.answers: dict[str, Any] = {"is_scheduler_paused": False}
        self.asked: list[str] = []

    def add_request(self, request: Any) -> None:
        self.sent.append(request)

    def get_output(self) -> Any:
        output = self.outputs_queue.get()
        if isinstance(output, Exception):
            raise output
        return output

    def call_utility(self, method: str, *args: Any) -> Any:
        self.asked.append(method)
        future: Future[Any] = Future()
        self.utility_results[len(self.asked)] = future
        if method in self.answers:
            answer = self.answers[method]
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)
        return future.result()

    def shutdown(self, timeout: float | None = None) -> None:
        self.resources.engine_dead = True


class EngineStandIn:
    """Stands in for LLMEngine.

    Attributes:
        calls: The calls that reached it, each with its name and arguments.
        multiprocess_mode: As it was built.
    """

    def __init__(
        self,
        vllm_config: Any,
        executor_class: Any,
        log_stats: bool,
        stat_loggers: list[Any] | None = None,
        multiprocess_mode: bool = False,
    ) -> None:
        self.vllm_config = vllm_config
        self.model_config = vllm_config.model_config
        self.stat_loggers = stat_loggers
        self.log_stats = log_stats
        self.multiprocess_mode = multiprocess_mode
        self.input_processor = InputProcessor()
        self.output_processor = OutputProcessor()
        self.engine_core = SyncCore()
        self.renderer = SimpleNamespace(
            shutdown=lambda: self.calls.append(("renderer",)), mm_processor_cache=None
        )
        self.tokenizer = "tokenizer"
        self.calls: list[Any] = []
        self.aborted: list[str] = []

    def get_num_unfinished_requests(self) -> int:
        return len(self.output_processor.request_states)

    def has_unfinished_requests(self) -> bool:
        return bool(self.output_processor.request_states)

    def abort_request(self, request_ids: list[str], internal: bool = False) -> None:
        assert internal
        self.aborted += request_ids
        for request_id in request_ids:
            self.output_processor.request_states.pop(request_id, None)

    def add_request(
        self,
        request_id: str,
        prompt: Any,
        params: Any,
        arrival_time: float | None = None,
        lora_request: Any = None,
        tokenization_kwargs: dict[str, Any] | None = None,
        priority: int = 0,
    ) -> str:
        self.calls.append(("add_request", request_id, prompt, lora_request))
        self.output_processor.request_states[request_id] = SimpleNamespace(
            lora_request=None,
            parent_req=None,
            queue=None,
            streaming_input=False,
            detokenizer=None,
        )
        self.engine_core.add_request(
            SimpleNamespace(
                request_id=request_id,
                external_req_id=request_id,
                reasoning_parser_kwargs=None,
                sampling_params=params,
                prompt_token_ids=None,
                prompt_embeds=prompt.get("prompt_embeds") if isinstance(prompt, dict) else None,
                mm_features=None,
                lora_request=lora_request,
                cache_salt=None,
                resumable=False,
            )
        )
        return request_id

    def step(self) -> list[Any]:
        outputs: Any = self.engine_core.get_output()
        for output in outputs.outputs:
            self.output_processor.request_states.pop(output.request_id)
        made: list[Any] = outputs.outputs
        return made

    def sleep(self, level: int = 1, mode: str = "abort") -> None:
        self.calls.append(("sleep", level, mode))

    def wake_up(self, tags: list[str] | None = None) -> bool:
        self.calls.append(("wake_up", tags))
        return tags is None

    def collective_rpc(
        self,
        method: str,
        timeout: float | None = None,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> list[Any]:
        self.calls.append(("collective_rpc", method, timeout))
        return [self.engine_core.call_utility("collective_rpc", method)]

    def add_lora(self, lora_request: Any) -> bool:
        self.calls.append(("add_lora", lora_request.lora_int_id))
        return True

    def list_loras(self) -> list[int]:
        return []


def outputs(*request_ids: str, **fields: Any) -> Any:
    """What EngineCore sends when requests have ended.

    Args:
        request_ids: The requests.
        fields: What else the outputs say, each the same.
    """
    said = {"finish_reason": None, "new_token_ids": [], **fields}
    return SimpleNamespace(
        engine_index=0,
        outputs=[SimpleNamespace(request_id=it, **said) for it in request_ids],
    )


class LLMStandIn:
    """Stands in for LLM, around an engine of a class."""

    engine_class: Any = EngineStandIn

    def __init__(self, *, log_stats: bool = False) -> None:
        self.llm_engine = self.engine_class(
            vllm_config=configuration(max_model_len=100), executor_class=None, log_stats=log_stats
        )
        self.model_config = self.llm_engine.model_config
        self.seen: Any = None

    def generate(
        self,
        prompts: list[str],
        params: Any = None,
        *,
        use_tqdm: Any = True,
        tokenization_kwargs: dict[str, Any] | None = None,
    ) -> list[Any]:
        """Adds requests and steps until all are done."""
        self.seen = use_tqdm
        for prompt in prompts:
            self.llm_engine.add_request(prompt, [1], None)
        return self.wait_for_completion(use_tqdm=use_tqdm)

    def enqueue(self, prompts: list[str]) -> list[str]:
        """Adds requests."""
        return [self.llm_engine.add_request(prompt, [1], None) for prompt in prompts]

    def wait_for_completion(self, *, use_tqdm: Any = True) -> list[Any]:
        """Steps until all are done."""
        done = []
        while self.llm_engine.has_unfinished_requests():
            done += self.llm_engine.step()
        return done

    def beam_search(
        self,
        prompts: list[Any],
        params: Any,
        use_tqdm: bool = False,
        concurrency_limit: int | None = None,
    ) -> list[Any]:
        """Takes its steps, and looks at nothing else."""
        self.seen = use_tqdm
        for _ in range(params.max_tokens):
            if self._beam_search_step(prompts):
                break
        return prompts

    def _beam_search_step(self, prompts: list[Any]) -> bool:
        if "fails" in prompts:
            raise ValueError("a step fails")
        return "ends" in prompts

    def apply_model(self, func: Any) -> list[Any]:
        raise AssertionError("the guard calls the workers itself")

    def get_metrics(self) -> list[Any]:
        return ["metrics"]

    def _params_to_seq(self, params: Any, num_requests: int) -> list[Any]:
        return [params] * num_requests

    def start_weight_update(self) -> None:
        self.llm_engine.collective_rpc("start_weight_update")

    def finish_weight_update(self, weight_version: str | None = None) -> None:
        self.llm_engine.collective_rpc("finish_weight_update")

    def update_weights(self, request: Any) -> None:
        self.llm_engine.collective_rpc("update_weights")

    def init_weight_transfer_engine(self, request: Any) -> None:
        self.llm_engine.collective_rpc("init_weight_transfer_engine")

    def start_draft_weight_update(self) -> None:
        self.llm_engine.collective_rpc("start_draft_weight_update")

    def shutdown_weight_transfer_engine(self) -> None:
        self.llm_engine.collective_rpc("shutdown_weight_transfer_engine")
