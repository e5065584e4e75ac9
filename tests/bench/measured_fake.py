"""The fake engine with a method that measures itself; see ``measured_engine``."""

from __future__ import annotations

import asyncio
import resource

from python_worker.testing.fake_engine.engine import FakeAsyncLLM
from python_worker.testing.fake_vllm.types import SamplingParams


def cpu_seconds() -> float:
    """Returns what CPU time this process has used."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


class MeasuredFakeAsyncLLM(FakeAsyncLLM):
    """See the module's documentation."""

    async def cost_in_process(
        self, prompt: str, sampling_params: SamplingParams, streams: int
    ) -> tuple[int, float]:
        """Generates as a Python application would, ``streams`` at a time.

        Returns:
            The items that all streams yielded once they were held and let go, and the CPU seconds
            from then on.
        """
        held = asyncio.Semaphore(0)

        async def one(index: int) -> int:
            items = 0
            async for _ in self.generate(prompt, sampling_params, f"in-process-{index}"):
                items += 1
                if items == 1:
                    held.release()
            return items - 1

        running = asyncio.gather(*(one(index) for index in range(streams)))
        for _ in range(streams):
            await held.acquire()
        began = cpu_seconds()
        self._release()
        return sum(await running), cpu_seconds() - began
