"""From inputs to requests by vLLM's io-processors.

A processor describes a request first, and renders it later: the text is then put into a template
and tokenized, which takes the time. That runs in the thread where vLLM renders the engine's other
prompts, and long texts beside it.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Sequence
from functools import partial
from typing import Any

from python_worker.chat.vllm_parts import template_error
from python_worker.engines.guards.preprocessing import (
    characters_in,
    check_truncated_length,
    length_of,
)
from python_worker.exceptions import InvalidArgument
from python_worker.pooling import conversations, vllm_parts
from python_worker.pooling.inputs import Checks, Parameters, is_conversation, raise_failed
from python_worker.pooling.requests import (
    Finish,
    Pairs,
    Request,
    Scored,
    check_template,
    place,
)
from python_worker.pooling.tasks import check_scores
from python_worker.pooling.tensors import stacked

#: What only the rendering of pairs reads, and EngineCore has no use for.
_OF_RENDERING = ("chat_template_kwargs", "max_tokens_per_query", "max_tokens_per_doc")


class VllmRenderer:
    """Makes the requests by vLLM's io-processors.

    Args:
        engine: The engine.
        supported: What it says that it can do.
    """

    def __init__(self, engine: Any, supported: Sequence[str]) -> None:
        # A proxy: renderers are kept for as long as their engines live, and must not keep these.
        self._engine = weakref.proxy(engine)
        self._supported = supported
        self._processors = vllm_parts.io_processors(engine, supported)
        self._plain = vllm_parts.plain_processor(engine)
        self._own: str | None = engine.model_config.get_pooling_task(tuple(supported))
        self._score_type = vllm_parts.score_type(self._own)

    def inputs(self, task: str, inputs: Sequence[Any], given: Parameters) -> list[Request]:
        """A request for each input."""
        processor = self._processors.get(task, self._plain)
        checks = Checks(self._engine)
        requests = []
        for index, value in enumerate(inputs):
            try:
                requests.append(self._input(processor, checks, task, index, value, given))
            except Exception as error:
                raise_failed("inputs", index, error)
        return requests

    def _input(
        self,
        processor: Any,
        checks: Checks,
        task: str,
        index: int,
        value: Any,
        given: Parameters,
    ) -> Request:
        if is_conversation(value):
            check_truncated_length(characters_in(value), given.tokenization)
            described = conversations.render_params(
                processor, task, value, given.params[index], given.tokenization
            )
            described["lora_requests"] = given.lora_requests[index]
            described["priorities"] = given.priorities[index]
            size = characters_in(value)
        else:
            prompt = checks.prompt(value, f"inputs[{index}]", given.tokenization)
            context = vllm_parts.encode_context(task, prompt, **given.of(index))
            factory, _count = processor.get_request_factory_offline(context)
            (described,) = factory()
            size = length_of(prompt, None)
        return Request("inputs", index, partial(rendered, processor, described), size)

    def score_task(self) -> str:
        """What the requests of pairs compute."""
        hf_config = self._engine.model_config.hf_config
        kind = check_scores(self._score_type, self._own, self._supported, hf_config)
        task: str = self._processors[kind].pooling_task
        return task

    def pairs(self, pairs: Pairs, given: Parameters) -> tuple[list[Request], Finish]:
        """The requests of pairs, and what is done with their outputs."""
        processor = self._processors[self._score_type or ""]
        check_template(processor.name, pairs)
        data = processor.valid_inputs(list(pairs.queries), list(pairs.documents))
        params = given.params[0].clone()
        options = {name: getattr(pairs, name) for name in _OF_RENDERING if getattr(pairs, name)}
        params.extra_kwargs = {**(params.extra_kwargs or {}), **options} or None
        context = vllm_parts.scoring_context(
            params.task,
            scoring_data=data,
            chat_template=pairs.chat_template,
            pooling_params=params,
            tokenization_kwargs=given.tokenization,
            lora_request=given.lora_requests[0],
            priorities=given.priorities[0],
        )
        factory, _count = processor.get_request_factory_offline(context)
        n_queries = len(data.data_1)
        requests = []
        for number, described in enumerate(factory()):
            argument, index = place(self._score_type, number, n_queries)
            size = characters_in([described.get(it) for it in ("prompts", "data_1", "data_2")])
            render = partial(rendered, processor, described)
            requests.append(Request(argument, index, render, size))

        def finish(outputs: list[Any]) -> Scored:
            context = vllm_parts.outputs_context(outputs, n_queries)
            scored: list[Any] = processor.post_process_offline(context)
            return Scored(
                stacked([it.outputs.data.squeeze() for it in scored]),
                [len(it.prompt_token_ids) for it in scored],
                [it.num_cached_tokens for it in scored],
            )

        return requests, finish

    async def render(self, requests: Sequence[Request]) -> list[Any]:
        """What the engine gets for each request, or the exception that it failed with."""
        size = sum(request.size for request in requests)
        threads = self._engine.threads_for(size) or self._engine.renderer._executor
        loop = asyncio.get_running_loop()
        ready: list[Any] = await loop.run_in_executor(threads, render_all, requests)
        return ready


def render_all(requests: Sequence[Request]) -> list[Any]:
    """What the engine gets for each request, or the exception that it failed with."""
    ready: list[Any] = []
    for request in requests:
        try:
            ready.append(request.render())
        except Exception as error:
            ready.append(error)
    return ready


def rendered(processor: Any, described: dict[str, Any]) -> Any:
    """What the engine gets for a request.

    Raises:
        InvalidArgument: A chat template is wrong, or does not take the messages.
    """
    try:
        ready = processor.render(described)
    except template_error() as error:
        raise InvalidArgument(
            f"chat_template: {error or type(error).__name__}", parameter="chat_template"
        ) from error
    params = ready["params"]
    if extra := params.extra_kwargs:
        left = {name: value for name, value in extra.items() if name not in _OF_RENDERING}
        if len(left) < len(extra):
            ready["params"] = params = params.clone()
            params.extra_kwargs = left or None
    return ready
