"""An engine that costs nothing: every request gets its tokens at once, and no model runs.

Two arguments of an engine name the classes of this module, so the engine is the same behind every
front end of vLLM's and behind the bridge::

    distributed_executor_backend="tests.bench.support.free_engine.FreeExecutor"
    scheduler_cls="tests.bench.support.free_engine.FreeScheduler"

EngineCore is vLLM's own, a process that speaks its protocol. With the executor alone its scheduler
is vLLM's too; on two cores that one is the limit. With ``FreeScheduler`` each step gives every open
request one token, out of outputs that are made once.

The environment variable ``FREE_ENGINE_RATE_FILE`` names a file that says how many tokens per second
there are at most, of all requests together. It is read whenever a request comes and none is open.
Without it, or at 0, a front end that is slower than the engine gets ever more outputs at a time,
and merges them.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import torch
from vllm.v1.core.sched.output import SchedulerOutput
from vllm.v1.core.sched.scheduler import Scheduler
from vllm.v1.engine import EngineCoreOutput, EngineCoreOutputs, FinishReason
from vllm.v1.executor.abstract import Executor
from vllm.v1.kv_cache_interface import FullAttentionSpec
from vllm.v1.outputs import ModelRunnerOutput

# The letters of the tiny models' tokenizer, whose tokens are bytes.
FIRST_TOKEN, TOKENS = 70, 24

CACHE_BYTES = 2**30


class FreeExecutor(Executor):
    """Samples a token for each request that is scheduled, and has no workers."""

    def _init_executor(self) -> None:
        # How many tokens of its prompt a request has to be scheduled for.
        self._missing: dict[str, int] = {}
        spec = FullAttentionSpec(
            block_size=self.cache_config.block_size or 16,
            num_kv_heads=1,
            head_size=8,
            dtype=torch.float32,
        )
        self._answers: dict[str, Any] = {
            "determine_available_memory": CACHE_BYTES,
            "get_kv_cache_spec": {"layer": spec},
            "get_supported_kv_cache_layouts": ["LBNHC"],
            "get_supported_tasks": ("generate",),
            "supports_draft_weight_updates": False,
        }

    def collective_rpc(
        self,
        method: str | Callable[..., Any],
        timeout: float | None = None,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
        non_block: bool = False,
        **_more: Any,
    ) -> Any:
        """What a worker would answer; nothing where that does not matter."""
        answer = [self._answers.get(method) if isinstance(method, str) else None]
        return done(answer) if non_block else answer

    def compile_or_warm_up_model(self) -> None:
        """There is none."""

    def execute_model(self, scheduler_output: SchedulerOutput, non_block: bool = False) -> Any:
        """The tokens of a step."""
        output = self._sample(scheduler_output)
        return done(output) if non_block else output

    def _sample(self, scheduled: SchedulerOutput) -> ModelRunnerOutput:
        missing = self._missing
        for new in scheduled.scheduled_new_reqs:
            missing[new.req_id] = new.prompt_len - new.num_computed_tokens
        for ended in scheduled.finished_req_ids:
            missing.pop(ended, None)
        tokens = []
        for request_id, count in scheduled.num_scheduled_tokens.items():
            missing[request_id] -= count
            tokens.append([] if missing[request_id] > 0 else [FIRST_TOKEN])
        ids = list(scheduled.num_scheduled_tokens)
        return ModelRunnerOutput(
            req_ids=ids,
            req_id_to_index={request_id: index for index, request_id in enumerate(ids)},
            sampled_token_ids=tokens,
        )

    def check_health(self) -> None:
        """Always well."""

    def shutdown(self) -> None:
        """Has nothing to end."""


def done(result: Any) -> Future[Any]:
    """A future that has its result."""
    future: Future[Any] = Future()
    future.set_result(result)
    return future


class Open:
    """A request that is not over."""

    __slots__ = ("left", "output", "request")

    def __init__(self, request: Any, number: int) -> None:
        self.request = request
        self.left = request.max_tokens
        # Each step sends this one again: EngineCore only packs it.
        tokens = [FIRST_TOKEN + number % TOKENS]
        self.output = EngineCoreOutput(request_id=request.request_id, new_token_ids=tokens)

    def last(self) -> EngineCoreOutput:
        """The output that ends the request."""
        return EngineCoreOutput(
            request_id=self.output.request_id,
            new_token_ids=self.output.new_token_ids,
            finish_reason=FinishReason.LENGTH,
        )


class FreeScheduler(Scheduler):  # type: ignore[misc]
    """Gives every request a token in every step."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._open: dict[str, Open] = {}
        self._number = 0
        self._rate_file = os.environ.get("FREE_ENGINE_RATE_FILE")
        self._seconds_per_token = 0.0
        self._next_step = 0.0

    def add_request(self, request: Any) -> None:
        """Begin with a request in the next step."""
        if not self._open and self._rate_file:
            rate = float(Path(self._rate_file).read_text())
            self._seconds_per_token = 1 / rate if rate else 0.0
        self._number += 1
        self._open[request.request_id] = Open(request, self._number)

    def schedule(self, throttle_prefills: bool = False) -> SchedulerOutput:
        """A step for all requests, when it is time for it."""
        now = time.monotonic()
        if self._next_step > now:
            time.sleep(self._next_step - now)
        # What was too late is not caught up with.
        self._next_step = max(self._next_step, now) + self._seconds_per_token * len(self._open)
        scheduled = SchedulerOutput.make_empty()
        scheduled.total_num_scheduled_tokens = len(self._open)
        return scheduled

    def update_from_output(
        self, scheduler_output: SchedulerOutput, model_runner_output: ModelRunnerOutput
    ) -> dict[int, EngineCoreOutputs]:
        """One token for each request."""
        outputs: dict[int, list[EngineCoreOutput]] = {}
        ended = []
        for request_id, it in self._open.items():
            it.left -= 1
            output = it.output
            if it.left <= 0:
                output = it.last()
                ended.append(request_id)
            outputs.setdefault(it.request.client_index, []).append(output)
        for request_id in ended:
            del self._open[request_id]
        return {client: EngineCoreOutputs(outputs=these) for client, these in outputs.items()}

    def finish_requests(
        self, request_ids: str | Iterable[str] | None, finished_status: Any
    ) -> list[Any]:
        """Forget requests that were aborted."""
        if request_ids is None:
            request_ids = list(self._open)
        elif isinstance(request_ids, str):
            request_ids = [request_ids]
        found = [self._open.pop(request_id, None) for request_id in request_ids]
        return [it.request for it in found if it is not None]

    def get_num_unfinished_requests(self) -> int:
        """Those that are open."""
        return len(self._open)

    def has_finished_requests(self) -> bool:
        """Nobody has to be told of these."""
        return False

    def get_request_counts(self) -> tuple[int, int]:
        """All run, and none waits."""
        return len(self._open), 0

    def make_stats(self, *_args: Any, **_kwargs: Any) -> None:
        """There are none."""
