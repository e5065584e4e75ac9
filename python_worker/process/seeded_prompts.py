"""Keeps a seed's random numbers while a prompt is computed in parts, on a CPU.

After each part vLLM samples a token that it throws away, and sets the request's generator back by
an offset that only generators on GPUs have. On a CPU torch raises, and EngineCore ends: one request
with a ``seed`` is enough, if its prompt is longer than what is left of a step. Here the generators
of such requests are what they were before the sampling, and vLLM does not see them afterwards.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

CPU_MODEL_RUNNER = "vllm.v1.worker.cpu_model_runner"

Method = Callable[..., Any]


def patch_cpu_model_runner(module: Any) -> None:
    """Patches vLLM's module ``cpu_model_runner``."""
    runner = module.CPUModelRunner
    if hasattr(runner, "_sample") and hasattr(runner, "_bookkeeping_sync"):
        runner._sample = sampling_undone(runner._sample)
        runner._bookkeeping_sync = without_generators(runner._bookkeeping_sync)


def generators_of_parts(runner: Any) -> dict[int, Any]:
    """The generators of requests whose prompts go on after this step, by their indices."""
    batch = runner.input_batch
    is_part = runner.discard_request_mask.np[: batch.num_reqs]
    return {index: it for index, it in batch.generators.items() if is_part[index]}


def sampling_undone(sample: Method) -> Method:
    """Returns the method that samples, changed to set these generators back."""

    @functools.wraps(sample)
    def patched(self: Any, *args: Any, **kwargs: Any) -> Any:
        before = [(it, it.get_state()) for it in generators_of_parts(self).values()]
        sampled = sample(self, *args, **kwargs)
        for generator, state in before:
            generator.set_state(state)
        return sampled

    return patched


def without_generators(book: Method) -> Method:
    """Returns the method that sets generators back, changed to see none of these."""

    @functools.wraps(book)
    def patched(self: Any, *args: Any, **kwargs: Any) -> Any:
        generators = self.input_batch.generators
        hidden = generators_of_parts(self)
        for index in hidden:
            del generators[index]
        try:
            return book(self, *args, **kwargs)
        finally:
            generators.update(hidden)

    return patched
