"""vLLM's AsyncLLM with a method that measures itself.

A worker that serves this class (``--engine-class
tests.bench.measured_engine:MeasuredAsyncLLM``) can be asked for the speed of
its engine without the bridge. Both speeds then come from one engine in one
process, measured in turn, so their ratio is the bridge's and nobody else's.
"""

from __future__ import annotations

import asyncio
import time

from vllm import SamplingParams

from python_worker.engine import import_async_llm

AsyncLLM = import_async_llm()


class MeasuredAsyncLLM(AsyncLLM):  # type: ignore[misc]
    """The engine under test and its own reference."""

    async def generate_in_process(
        self, prompt: str, sampling_params: SamplingParams, streams: int
    ) -> tuple[int, float]:
        """Generate as a Python application would, ``streams`` at a time.

        Returns:
            The tokens that all streams yielded together, and the seconds from
            the first request to the last token.
        """

        async def one(index: int) -> int:
            tokens = 0
            async for output in self.generate(prompt, sampling_params, f"in-process-{index}"):
                tokens += sum(len(completion.token_ids) for completion in output.outputs)
            return tokens

        began = time.perf_counter()
        tokens = sum(await asyncio.gather(*(one(index) for index in range(streams))))
        return tokens, time.perf_counter() - began
