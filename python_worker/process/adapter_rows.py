"""Tells the head which adapter each of the rows has that it is given.

For each step vLLM makes a list of adapters for the head: one for each row that a token is sampled
from, or one for each request to a pooling model. Where the head is then given other rows, the list
does not fit, and EngineCore ends in the middle of the step. Where the number of rows is right by
chance, each row gets the adapter of some other request. There are two such cases on an engine with
``enable_lora``, whether the requests have adapters or not:

* With ``prompt_logprobs`` the head is given the rows of one prompt. The list is as long as that of
  one request only if the request is alone. On a CPU the head is told the request's adapter before:
  a list of one is used for all rows. One entry for each row would do too, but vLLM would copy the
  head's part of the adapter for each of them. vLLM's kernels for GPUs do not raise, and would need
  one entry for each row; nothing is changed there.
* With requests for "classify" and "token_classify" in one step, a classifier's head is given the
  rows of each group of requests for "classify" by itself. It is told the adapters of the group.

The list of the step is put back afterwards.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from python_worker.process.fresh_blocks import is_on_cpu

GPU_MODEL_RUNNER = "vllm.v1.worker.gpu_model_runner"

# The id that vLLM uses for requests without an adapter.
BASE_MODEL = 0

# The only task for which vLLM gives a classifier a head with adapters.
CLASSIFY = "classify"

Adapters = tuple[int, ...]
Method = Callable[..., Any]


def patch_gpu_model_runner(module: Any) -> None:
    """Patches vLLM's module ``gpu_model_runner``, whose class is also the base of the CPU's."""
    for name, patch in PATCHES.items():
        method: Method | None = getattr(module.GPUModelRunner, name, None)
        if method is not None:
            setattr(module.GPUModelRunner, name, patch(method))


def prompts_one_by_one(compute: Method) -> Method:
    """Returns the method, changed to compute one request at a time, with its adapter.

    Args:
        compute: The method of vLLM's model runner. It goes through ``num_prompt_logprobs``, and
            takes from it what has been computed to its end.
    """

    @functools.wraps(compute)
    def patched(self: Any, hidden_states: Any, num_scheduled_tokens: Mapping[str, int]) -> Any:
        asked: dict[str, int] = self.num_prompt_logprobs
        if not asked or self.lora_config is None or not is_on_cpu():
            return compute(self, hidden_states, num_scheduled_tokens)
        computed: dict[str, Any] = {}
        unfinished: dict[str, int] = {}
        with step_mapping_kept(self.lora_manager._adapter_manager) as use:
            for request_id, number in asked.items():
                self.num_prompt_logprobs = {request_id: number}
                if request_id in num_scheduled_tokens:
                    use((adapter_of(self.requests[request_id]),))
                computed |= compute(self, hidden_states, num_scheduled_tokens)
                unfinished |= self.num_prompt_logprobs
        self.num_prompt_logprobs = unfinished
        return computed

    return patched


def groups_one_by_one(pool: Method) -> Method:
    """Returns the method, changed to tell a classifier's head which requests it is given.

    Args:
        pool: The method of vLLM's model runner. It calls the head once for each group of requests
            for "classify" that follow each other.
    """

    @functools.wraps(pool)
    def patched(self: Any, *args: Any, **kwargs: Any) -> Any:
        head = classification_head(self)
        groups = groups_of_tasks(self) if head is not None else []
        if len(groups) <= 1:
            return pool(self, *args, **kwargs)
        classified = iter([adapters for task, adapters in groups if task == CLASSIFY])
        forward: Method = head.forward
        with step_mapping_kept(self.lora_manager._adapter_manager) as use:

            def forward_group(rows: Any) -> Any:
                use(next(classified))
                return forward(rows)

            head.forward = forward_group
            try:
                return pool(self, *args, **kwargs)
            finally:
                del head.forward

    return patched


def classification_head(runner: Any) -> Any:
    """The head of a classifier that takes adapters; None if the model has none."""
    if runner.lora_config is None:
        return None
    named = getattr(runner.lora_manager._adapter_manager, "_classification_head", None)
    return None if named is None else named[1]


def groups_of_tasks(runner: Any) -> list[tuple[str, Adapters]]:
    """Requests of a step that follow each other and want the same: the task, their adapters."""
    batch = runner.input_batch
    return [
        (task, tuple(adapter_of(runner.requests[request_id]) for request_id in group))
        for task, group in itertools.groupby(
            batch.req_ids, lambda request_id: batch.pooling_params[request_id].task
        )
    ]


def adapter_of(request: Any) -> int:
    """The id of a request's adapter."""
    lora_request = request.lora_request
    return BASE_MODEL if lora_request is None else int(lora_request.lora_int_id)


@contextmanager
def step_mapping_kept(manager: Any) -> Iterator[Callable[[Adapters], None]]:
    """Yields what has the head use other adapters; afterwards it uses those of the step again.

    Args:
        manager: vLLM's manager of adapters.
    """
    of_the_step = manager._last_mapping

    def use(adapters: Adapters) -> None:
        manager.set_adapter_mapping(type(of_the_step)(adapters, adapters, is_prefill=True))

    try:
        yield use
    finally:
        manager.set_adapter_mapping(of_the_step)


PATCHES: Mapping[str, Callable[[Method], Method]] = {
    "_get_prompt_logprobs_dict": prompts_one_by_one,
    "_pool": groups_one_by_one,
}
"""The methods of the model runner that are patched, each with the function that does it."""
