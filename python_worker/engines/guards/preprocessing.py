"""Requests are made of prompts in threads, where no prompt holds up others.

vLLM prepares a streamed prompt's elements on the event loop, and all other prompts of an engine one
after another in one thread: a text of 5 MB takes seconds there. Here elements are prepared as other
prompts are, in their order, and what takes long has threads of its own, with the same function of
vLLM's: the result is the same.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from typing import Any, Final

from typing_extensions import override

from python_worker.engines.guards import vllm_parts
from python_worker.engines.guards.protocols import (
    AsyncLLM,
    EngineCoreRequest,
    RequestOutputCollector,
)
from python_worker.engines.media.prompts import has_media, loaded_prompt, processing
from python_worker.exceptions import LimitExceeded

LONG_TEXT: Final = 64 * 1024
"""From this length on, in characters, a text is tokenized beside the others."""

VERY_LONG_TEXT: Final = 1024 * 1024

MAX_TRUNCATED_CHARS: Final = 1024 * 1024

PREPARED: ContextVar[list[EngineCoreRequest] | None] = ContextVar("PREPARED", default=None)
"""The request that vLLM is about to make to check the parameters of a streamed prompt."""


class PreparedPrompt(dict[str, object]):
    """An element of a streamed prompt, of which a request has been made.

    To vLLM it is a prompt with a text or without.
    """

    def __init__(self, request: EngineCoreRequest, text: str | None) -> None:
        super().__init__(prompt=text, prompt_token_ids=request.prompt_token_ids)
        self.request = request


class PreprocessingGuard(AsyncLLM):
    """Keeps the preparation of requests off the loop, and long ones out of the others' way."""

    @override
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        processor = self.input_processor
        self._prepare_here = processor.process_inputs
        self._prepare_in_turn = processor.process_inputs_async
        self._long, self._very_long = (
            ThreadPoolExecutor(1, thread_name_prefix=name) for name in ("long", "very-long")
        )
        processor.process_inputs = self._process_inputs
        processor.process_inputs_async = self._process_inputs_async

    @override
    def shutdown(self, timeout: float | None = None) -> None:
        super().shutdown(timeout)
        for name in ("_long", "_very_long"):
            if (threads := getattr(self, name, None)) is not None:
                threads.shutdown(wait=False, cancel_futures=True)

    def _process_inputs_async(
        self, request_id: str, prompt: object, params: object, *args: Any, **kwargs: Any
    ) -> Awaitable[EngineCoreRequest]:
        check_truncation(prompt, kwargs.get("tokenization_kwargs"))
        if isinstance(prompt, dict) and has_media(prompt):
            return self._read_and_prepare(request_id, prompt, params, *args, **kwargs)
        threads = self.threads_for(length_of(prompt, params))
        if threads is None:
            return self._prepare_in_turn(request_id, prompt, params, *args, **kwargs)
        prepare = functools.partial(self._prepare_here, request_id, prompt, params, *args, **kwargs)
        return asyncio.get_running_loop().run_in_executor(threads, prepare)

    async def _read_and_prepare(
        self, request_id: str, prompt: dict[str, Any], params: object, *args: Any, **kwargs: Any
    ) -> EngineCoreRequest:
        """Reads the images of a prompt, which vLLM then prepares one prompt after another."""
        prompt = await loaded_prompt(self, prompt)
        with processing("prompt"):
            return await self._prepare_in_turn(request_id, prompt, params, *args, **kwargs)

    def threads_for(self, size: int) -> ThreadPoolExecutor | None:
        """Where so many characters are tokenized; None for where vLLM does it."""
        if size < LONG_TEXT or not vllm_parts.is_for_threads(self.tokenizer):
            return None
        return self._long if size < VERY_LONG_TEXT else self._very_long

    def _process_inputs(
        self, request_id: str, prompt: object, *args: Any, **kwargs: Any
    ) -> EngineCoreRequest:
        """In place of vLLM's, where vLLM calls it on the loop."""
        prepared = PREPARED.get()
        if isinstance(prompt, PreparedPrompt):
            request = prompt.request
        elif prepared:
            request = prepared.pop()
        else:
            return self._prepare_here(request_id, prompt, *args, **kwargs)
        request.request_id = request_id
        return request

    @override
    async def _add_streaming_input_request(
        self,
        request_id: str,
        input_stream: AsyncGenerator[Any, None],
        sampling_params: object,
        *args: Any,
    ) -> RequestOutputCollector:
        add = super()._add_streaming_input_request
        self._validate_streaming_input_sampling_params(sampling_params)
        names = list(inspect.signature(add).parameters)[3:]
        inputs = dict(zip(names, args, strict=False))
        inputs["supported_tasks"] = await self.get_supported_tasks()
        process: Callable[..., Awaitable[EngineCoreRequest]] = self._process_inputs_async
        prepare = functools.partial(process, request_id, **inputs)
        last = await prepare(vllm_parts.one_token(), sampling_params)
        token = PREPARED.set([last])
        try:
            stream = self._prepared(input_stream, sampling_params, prepare)
            return await add(request_id, stream, sampling_params, *args)
        finally:
            PREPARED.reset(token)

    async def _prepared(
        self,
        elements: AsyncGenerator[Any, None],
        sampling_params: object,
        prepare: Callable[..., Awaitable[EngineCoreRequest]],
    ) -> AsyncGenerator[Any, None]:
        """Yields the elements with their requests."""
        try:
            async for element in elements:
                params = element.sampling_params or sampling_params
                self._validate_streaming_input_sampling_params(params)
                request = await prepare(element.prompt, params, resumable=True)
                text = vllm_parts.text_of_prompt(self.model_config, element.prompt)
                yield type(element)(
                    prompt=PreparedPrompt(request, text), sampling_params=element.sampling_params
                )
        finally:
            await elements.aclose()


def check_truncation(prompt: object, tokenization: Mapping[str, Any] | None) -> None:
    """Refuse a long text that is to be tokenized as a whole, and then cut.

    The tokenizer keeps what it cuts off, in pieces as long as what is left, and frees millions of
    them in one call. With ``truncation_side`` vLLM cuts the text itself before it is tokenized.

    Raises:
        LimitExceeded: It is too long.
    """
    check_truncated_length(length_of(prompt, None), tokenization)


def check_truncated_length(size: int, tokenization: Mapping[str, Any] | None) -> None:
    """Refuse a text of so many characters, likewise."""
    if not tokenization or tokenization.get("truncation_side"):
        return
    if tokenization.get("truncate_prompt_tokens") is None and not tokenization.get("truncation"):
        return
    if size > MAX_TRUNCATED_CHARS:
        raise LimitExceeded(
            f"prompt: a text of {size} characters that is to be truncated; the limit is "
            f"{MAX_TRUNCATED_CHARS} without tokenization_kwargs['truncation_side'], with which it "
            "is cut before it is tokenized",
            parameter="prompt",
            limit=MAX_TRUNCATED_CHARS,
        )


def length_of(prompt: object, params: object) -> int:
    """How many characters are to be tokenized or compiled, as far as that can be seen at once.

    Prompts with images and the like count for nothing: vLLM needs them in their order.
    """
    size = constraint_length(getattr(params, "structured_outputs", None))
    size += sum(map(len, getattr(params, "bad_words", None) or ()))
    if isinstance(prompt, str):
        return size + len(prompt)
    if not isinstance(prompt, dict):
        return size
    if prompt.get("multi_modal_data"):
        return 0
    parts = (prompt.get(name) for name in ("prompt", "encoder_prompt", "decoder_prompt"))
    return size + sum(length_of(part, None) for part in parts if part is not None)


def characters_in(value: Any) -> int:
    """How many characters the texts in a value have together. Without recursion: it may be deep."""
    count, waiting = 0, [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            count += len(value)
        elif isinstance(value, Mapping):
            waiting += value.values()
        elif isinstance(value, (list, tuple)):
            waiting += value
    return count


def constraint_length(constraint: object) -> int:
    """How many characters a constraint of the output has; a map counts as long."""
    values = [
        getattr(constraint, name, None)
        for name in ("json", "regex", "choice", "grammar", "structural_tag")
    ]
    return sum(len(it) if isinstance(it, str) else LONG_TEXT for it in values if it is not None)
