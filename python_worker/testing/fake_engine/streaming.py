"""Streamed input of the fake engine: elements that come one by one continue a request.

It is answered as vLLM does: with items that are not finished, up to the end of the stream. But each
element's tokens are counted anew, and the next element is only asked for when the one before is
answered, so that a test knows what has been asked for.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Callable
from typing import Any

from python_worker.testing.fake_engine.requests import RequestOutputCollector
from python_worker.testing.fake_vllm.errors import VLLMValidationError
from python_worker.testing.fake_vllm.types import (
    PoolingParams,
    RequestOutput,
    RequestOutputKind,
    SamplingParams,
    StreamingInput,
)

STREAM_FINISHED = RequestOutput(
    request_id="",
    prompt=None,
    prompt_token_ids=None,
    prompt_logprobs=None,
    outputs=[],
    finished=True,
)
"""The last output of a request whose input has ended: nobody is to see it."""


class InputStreamError(Exception):
    """Carries an error of the input past the handlers of the engine's own."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(str(cause))
        self.cause = cause


class StreamCollector(RequestOutputCollector):
    """The slot of a request with streamed input."""

    def __init__(
        self, output_kind: RequestOutputKind, request_id: str, *, on_taken: Callable[[], None]
    ) -> None:
        super().__init__(output_kind, request_id, on_taken=on_taken)
        self.reading: asyncio.Task[None] | None = None
        self.answered = asyncio.Event()
        self.emptied = asyncio.Event()

    def get_nowait(self) -> Any:
        """Takes the output if there is one."""
        self.emptied.set()
        return super().get_nowait()

    def put(self, output: Any) -> None:
        """Puts an output; one that is finished only ends an element."""
        if isinstance(output, RequestOutput) and output.finished and output.outputs:
            output.finished = False
            self.answered.set()
        self.emptied.clear()
        super().put(output)

    def close(self) -> None:
        """Reads no more."""
        if self.reading is not None:
            self.reading.cancel()


def validate(params: SamplingParams | PoolingParams) -> None:
    """Refuses the parameters that vLLM refuses.

    Raises:
        VLLMValidationError: They are among those.
    """
    if (
        isinstance(params, PoolingParams)
        or params.n > 1
        or params.output_kind == RequestOutputKind.FINAL_ONLY
        or params.stop
    ):
        raise VLLMValidationError(
            "Input streaming not currently supported for pooling models, n > 1, "
            "request_kind = FINAL_ONLY or with stop strings."
        )


async def read(
    engine: Any,
    request_id: str,
    inputs: AsyncGenerator[StreamingInput, None],
    params: SamplingParams | PoolingParams,
    lora_request: Any,
    queue: StreamCollector,
) -> None:
    """Has the engine answer one element after the other."""
    own_id = queue.request_id
    try:
        async for element in inputs:
            if element.sampling_params is not None:
                validate(element.sampling_params)
            request = engine._make_request(
                request_id, element.prompt, element.sampling_params or params, lora_request
            )
            request.request_id = own_id
            queue.answered.clear()
            await engine._add_request(request, request.prompt, None, 0, queue)
            await queue.answered.wait()
    except Exception as error:
        queue.put(InputStreamError(error))
    else:
        # Two outputs in the slot would be merged.
        if not queue.taken:
            await queue.emptied.wait()
        queue.put(STREAM_FINISHED)


async def add_stream(
    engine: Any,
    request_id: str,
    inputs: AsyncGenerator[StreamingInput, None],
    params: SamplingParams | PoolingParams,
    lora_request: Any,
    on_taken: Callable[[], None],
) -> StreamCollector:
    """Admits a request with streamed input, before its first element.

    Raises:
        VLLMValidationError: These parameters do not go with it.
    """
    validate(params)
    own_id = f"{request_id}-{secrets.token_hex(4)}"
    queue = StreamCollector(params.output_kind, own_id, on_taken=on_taken)
    queue.reading = asyncio.create_task(
        read(engine, request_id, inputs, params, lora_request, queue)
    )
    return queue
