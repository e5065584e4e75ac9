"""Computes the log probabilities of a prompt with the adapter of its own request, on a CPU.

For each step vLLM says which adapter the head uses for the rows that tokens are sampled from, one
or more for each request. With ``prompt_logprobs`` the head is then given the rows of one prompt,
and uses the same list. If there are more or fewer rows than in the list, torch raises in the middle
of the step, and EngineCore ends. If there are as many, each row gets the adapter of some other
request. Both need one request with ``prompt_logprobs`` beside any other, on an engine with
``enable_lora``, whether the requests have adapters or not.

Here the head is told the request's adapter before it is given its prompt, and the list of the step
is put back afterwards. A list of one is used for all rows, as in a step with one request. One entry
for each row would do too, but vLLM would copy the head's part of the adapter for each of them.

vLLM's kernels for GPUs do not raise. They need one entry for each row, so nothing is changed there.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from python_worker.process.fresh_blocks import is_on_cpu

GPU_MODEL_RUNNER = "vllm.v1.worker.gpu_model_runner"

# The id that vLLM uses for requests without an adapter.
BASE_MODEL = 0

Compute = Callable[..., dict[str, Any]]


def patch_gpu_model_runner(module: Any) -> None:
    """Patches vLLM's module ``gpu_model_runner``, whose class is also the base of the CPU's."""
    compute: Compute | None = getattr(module.GPUModelRunner, "_get_prompt_logprobs_dict", None)
    if compute is not None:
        module.GPUModelRunner._get_prompt_logprobs_dict = with_own_adapters(compute)


def with_own_adapters(compute: Compute) -> Compute:
    """Returns the method, changed to compute one request at a time, with its adapter.

    Args:
        compute: The method of vLLM's model runner. It goes through ``num_prompt_logprobs``, and
            takes from it what has been computed to its end.
    """

    @functools.wraps(compute)
    def patched(
        self: Any, hidden_states: Any, num_scheduled_tokens: Mapping[str, int]
    ) -> dict[str, Any]:
        asked: dict[str, int] = self.num_prompt_logprobs
        if not asked or self.lora_config is None or not is_on_cpu():
            return compute(self, hidden_states, num_scheduled_tokens)
        computed: dict[str, Any] = {}
        unfinished: dict[str, int] = {}
        with step_mapping_kept(self.lora_manager._adapter_manager) as use:
            for request_id, number in asked.items():
                self.num_prompt_logprobs = {request_id: number}
                if request_id in num_scheduled_tokens:
                    use(adapter_of(self.requests[request_id]))
                computed |= compute(self, hidden_states, num_scheduled_tokens)
                unfinished |= self.num_prompt_logprobs
        self.num_prompt_logprobs = unfinished
        return computed

    return patched


def adapter_of(request: Any) -> int:
    """The id of a request's adapter."""
    lora_request = request.lora_request
    return BASE_MODEL if lora_request is None else int(lora_request.lora_int_id)


@contextmanager
def step_mapping_kept(manager: Any) -> Iterator[Callable[[int], None]]:
    """Yields what has the head use one adapter; afterwards it uses those of the step again.

    Args:
        manager: vLLM's manager of adapters.
    """
    of_the_step = manager._last_mapping

    def use(lora_id: int) -> None:
        one = (lora_id,)
        manager.set_adapter_mapping(type(of_the_step)(one, one, is_prefill=True))

    try:
        yield use
    finally:
        manager.set_adapter_mapping(of_the_step)
