"""vLLM's AsyncLLM that also answers in process: what the bridge is compared with.

A worker with ``--engine-class tests.python.support.reference_engine:ReferenceAsyncLLM`` carries out
a request on the very engine that serves clients, without the bridge, and tells in plain lists and
dicts what vLLM yielded. None of the code that sends outputs to clients has a part in that.
"""

from __future__ import annotations

from typing import Any

from vllm import SamplingParams

from python_worker.engine import import_async_llm

AsyncLLM: Any = import_async_llm()


class ReferenceAsyncLLM(AsyncLLM):  # type: ignore[misc]
    """The engine under test and its own reference."""

    async def generate_in_process(
        self, prompt: Any, sampling_params: SamplingParams, request_id: str
    ) -> list[dict[str, object]]:
        """Returns everything ``generate`` yields for a request, in order."""
        # Described at once: vLLM hands out the same mutable lists with every item.
        return [
            _described(output)
            async for output in self.generate(prompt, sampling_params, request_id)
        ]


def _described(output: Any) -> dict[str, object]:
    return {
        "request_id": output.request_id,
        "prompt": output.prompt,
        "prompt_token_ids": _copied(output.prompt_token_ids),
        "prompt_logprobs": _logprobs(output.prompt_logprobs),
        "finished": output.finished,
        "outputs": [
            {
                "index": completion.index,
                "text": completion.text,
                "token_ids": _copied(completion.token_ids),
                "cumulative_logprob": completion.cumulative_logprob,
                "logprobs": _logprobs(completion.logprobs),
                "finish_reason": completion.finish_reason,
                "stop_reason": completion.stop_reason,
            }
            for completion in output.outputs
        ],
    }


def _copied(ids: Any) -> list[int] | None:
    return None if ids is None else list(ids)


def _logprobs(positions: Any) -> list[dict[int, list[object]] | None] | None:
    """The alternatives at each position, as ``[logprob, rank, decoded_token]`` by token id."""
    if positions is None:
        return None
    return [
        None
        if position is None
        else {
            token: [entry.logprob, entry.rank, entry.decoded_token]
            for token, entry in position.items()
        }
        for position in positions
    ]
