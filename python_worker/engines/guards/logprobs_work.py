"""Logprobs of many tokens become objects in a thread.

vLLM makes the text of each token that a logprob is given for, on the event loop: 10 to 100 µs a
token. With ``prompt_logprobs`` over a long prompt or a whole vocabulary that is many seconds, in
which no client of the worker is answered. So what is large is taken out of the outputs of its step,
given to vLLM's own function in a thread, and put back into the queue. The request's later outputs
wait for it; those of other requests do not.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from math import prod
from typing import Final

from python_worker.engines.guards.protocols import (
    AsyncMPClient,
    EngineCoreOutput,
    EngineCoreOutputs,
    RequestState,
)
from python_worker.process import large_work

MANY: Final = 512
"""From so many logprobs on, those of an output are not made on the loop."""

FindState = Callable[[str], RequestState | None]


class LogprobsWork:
    """The large logprobs of one engine.

    Args:
        core: vLLM's client of EngineCore.
        find_state: Returns the state of a request, None if it has ended.
    """

    def __init__(self, core: AsyncMPClient, find_state: FindState) -> None:
        self._core = core
        self._find_state = find_state
        # The outputs that wait, by request; the first of them is being worked on.
        self._held: dict[str, deque[EngineCoreOutputs]] = {}
        # Those that are in the queue again.
        self._released: set[int] = set()

    def hold(self, outputs: EngineCoreOutputs) -> None:
        """Takes out of a step's outputs what has to wait."""
        if large_work.is_inline():  # the thread of an LLM holds up nobody
            return
        if self._released and id(outputs) in self._released:
            self._released.discard(id(outputs))
            return
        waiting = [it for it in outputs.outputs if it.request_id in self._held or is_large(it)]
        if not waiting:
            return
        ids = {it.request_id for it in waiting}
        outputs.outputs = [it for it in outputs.outputs if it.request_id not in ids]
        for output in waiting:
            held = type(outputs)(
                engine_index=outputs.engine_index,
                outputs=[output],
                timestamp=outputs.timestamp,
                weight_version=outputs.weight_version,
            )
            self._add(output.request_id, held)

    def _add(self, request_id: str, held: EngineCoreOutputs) -> None:
        if request_id in self._held:
            self._held[request_id].append(held)
            return
        self._held[request_id] = deque([held])
        task = asyncio.get_running_loop().create_task(self._work(request_id))
        _tasks.add(task)
        task.add_done_callback(_tasks.discard)

    async def _work(self, request_id: str) -> None:
        held = self._held[request_id]
        try:
            while held:
                (output,) = held[0].outputs
                if is_large(output):
                    await self._make(output)
                self._release(held.popleft())
        finally:
            del self._held[request_id]
            for outputs in held:  # vLLM's function raised: it will again, where vLLM calls it
                self._release(outputs)

    async def _make(self, output: EngineCoreOutput) -> None:
        state = self._find_state(output.request_id)
        processor = None if state is None else state.logprobs_processor
        if processor is None:
            return
        # Prompt logprobs come beside those of the first token, and both in this order.
        make = processor.update_from_output
        await large_work.run(large_work.VERY_LARGE, lambda: make(output))
        output.new_logprobs = output.new_prompt_logprobs_tensors = None

    def _release(self, outputs: EngineCoreOutputs) -> None:
        self._released.add(id(outputs))
        self._core.outputs_queue.put_nowait(outputs)


_tasks: set[asyncio.Task[None]] = set()


def is_large(output: EngineCoreOutput) -> bool:
    """Whether an output has many logprobs.

    Those of several tokens, which speculative decoding makes, are left to vLLM: it may cut them.
    """
    prompt = output.new_prompt_logprobs_tensors
    if prompt is not None and prod(prompt.logprobs.shape) >= MANY:
        return len(output.new_token_ids) <= 1
    sampled = output.new_logprobs
    return (
        sampled is not None
        and prod(sampled.logprobs.shape) >= MANY
        and len(output.new_token_ids) <= 1
    )
