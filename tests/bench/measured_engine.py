"""vLLM's AsyncLLM with methods that measure itself.

A worker that serves this class (``--engine-class
tests.bench.measured_engine:MeasuredAsyncLLM``) can be asked for the speed of
its engine without the bridge. Both speeds then come from one engine in one
process, measured in turn, so their ratio is the bridge's and nobody else's.
"""

from __future__ import annotations

import asyncio
import copy
import functools
import time
from typing import Any

import torch
from vllm import PoolingParams, SamplingParams
from vllm.sampling_params import RequestOutputKind

from python_worker.engines.builder import import_async_llm

AsyncLLM = import_async_llm()


class _Plain(AsyncLLM):  # type: ignore[misc]
    """vLLM's own methods on an engine that belongs to somebody else."""

    def __del__(self) -> None:
        """Does not shut the engine down, as vLLM's would."""


class MeasuredAsyncLLM(AsyncLLM):  # type: ignore[misc]
    """The engine under test and its own reference."""

    @functools.cached_property
    def plain(self) -> Any:
        """This engine without the worker's guard, which is a part of the bridge."""
        plain = object.__new__(_Plain)
        plain.__dict__ = self.__dict__
        return plain

    async def generate_in_process(
        self, prompt: Any, sampling_params: SamplingParams, streams: int
    ) -> tuple[int, int, float]:
        """Generate as a Python application would, ``streams`` at a time.

        Returns:
            The tokens that all streams yielded together, in how many outputs, and the
            seconds from the first request to the last token.
        """
        engine, sampling_params = self.plain, own(sampling_params)
        deltas = sampling_params.output_kind is RequestOutputKind.DELTA

        async def one(index: int) -> tuple[int, int]:
            tokens = outputs = 0
            async for output in engine.generate(prompt, sampling_params, f"in-process-{index}"):
                now = sum(len(completion.token_ids) for completion in output.outputs)
                tokens = tokens + now if deltas else now
                outputs += 1
            return tokens, outputs

        began = time.perf_counter()
        counts = await asyncio.gather(*(one(index) for index in range(streams)))
        seconds = time.perf_counter() - began
        return sum(it[0] for it in counts), sum(it[1] for it in counts), seconds

    async def time_in_process(
        self, prompt: Any, sampling_params: SamplingParams
    ) -> tuple[float, float, int]:
        """Generate once.

        Returns:
            The seconds from the call to the first output and to the last one,
            and how many outputs there were.
        """
        first, outputs = 0.0, 0
        sampling_params = own(sampling_params)
        began = time.perf_counter()
        async for _output in self.plain.generate(prompt, sampling_params, "in-process"):
            last = time.perf_counter()
            first = first or last
            outputs += 1
        return first - began, last - began, outputs

    async def embed_in_process(self, texts: list[str]) -> float:
        """Embed texts as a Python application would, all at once; returns the seconds."""
        engine = self.plain

        async def one(index: int) -> Any:
            params = PoolingParams(task="embed")
            async for output in engine.encode(texts[index], params, f"in-process-{index}"):
                row = output.outputs.data
            return row

        began = time.perf_counter()
        rows = await asyncio.gather(*(one(index) for index in range(len(texts))))
        torch.stack(rows)
        return time.perf_counter() - began


def own(sampling_params: SamplingParams) -> SamplingParams:
    """The parameters as a Python application has them, which vLLM copies for each request.

    Those that a worker makes for one request need no copy.
    """
    kept = copy.copy(sampling_params)
    kept.skip_clone = False
    return kept
