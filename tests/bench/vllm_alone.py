"""vLLM in a program of its own, without the bridge: the reference of ``tests/bench/startup.exs``.

``python -m tests.bench.vllm_alone MODEL`` prints, each in nanoseconds of the clock that the whole
machine shares, when vLLM is imported, when an engine is ready, and when it has given a token.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time

# What is printed elsewhere goes to stderr: vLLM logs to stdout.
TOLD = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)


def tell(event: str) -> None:
    """Prints the time of an event."""
    print(event, time.perf_counter_ns(), file=TOLD, flush=True)


async def run(model: str) -> None:
    """Builds an engine as the bridge is asked to, and generates one token."""
    from vllm import SamplingParams
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.v1.engine.async_llm import AsyncLLM

    tell("imported")
    arguments = AsyncEngineArgs(model=model, dtype="float32", enforce_eager=True, max_model_len=512)
    engine = AsyncLLM.from_engine_args(arguments)
    tell("engine")
    async for _ in engine.generate("Hello", SamplingParams(max_tokens=1), "first"):
        tell("token")
    engine.shutdown()


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1]))
    os._exit(0)
