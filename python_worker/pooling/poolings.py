"""``embed``, ``classify``, ``score`` and ``encode_batch``, as methods that are added to engines.

Each request of a batch is run by the engine's own guarded ``encode``. So everything that holds for
``encode`` holds here: what would harm the engine is refused, and a request ends with its caller.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar
from weakref import WeakKeyDictionary

from python_worker.engines.guards.lora import adapter_named
from python_worker.exceptions import InvalidArgument, Unsupported
from python_worker.pooling.answers import (
    ClassificationBatch,
    EmbeddingBatch,
    PoolingBatch,
    PoolingUsage,
    ScoreBatch,
)
from python_worker.pooling.batches import Abort, Batch
from python_worker.pooling.inputs import Checks, Options, check_count
from python_worker.pooling.plain_renderer import PlainRenderer
from python_worker.pooling.requests import Pairs, Renderer, Request
from python_worker.pooling.tasks import check_supported, check_task
from python_worker.pooling.tensors import stacked
from python_worker.pooling.vllm_renderer import VllmRenderer
from python_worker.process import large_work

T = TypeVar("T")

WORK_OF_ONE: Final = 1024
"""How many bytes of ``large_work`` an input counts for: its request is made of many values."""


@dataclass(slots=True)
class Row:
    """What is kept of an output: its numbers, and how many tokens it took."""

    data: Any
    prompt_tokens: int
    cached_tokens: int


class Poolings:
    """Batches of pooling on any engine.

    Args:
        abort: Aborts requests of an engine by their ids in it.
    """

    def __init__(self, abort: Abort) -> None:
        self._abort = abort
        self._renderers: WeakKeyDictionary[Any, Renderer] = WeakKeyDictionary()

    async def embed(
        self,
        engine: Any,
        inputs: list[Any],
        pooling_params: Any = None,
        tokenization_kwargs: dict[str, Any] | None = None,
        lora_request: Any = None,
        priority: Any = 0,
        model: str | None = None,
        trace_headers: Any = None,
    ) -> EmbeddingBatch:
        """Embeds texts, as one tensor.

        Args:
            engine: The engine.
            inputs: Prompts, or maps with ``messages``.
            pooling_params: For all inputs, or a list with those of each.
            tokenization_kwargs: How all inputs are tokenized.
            lora_request: An adapter for all inputs, or a list with that of each.
            priority: Of all inputs, or a list with that of each.
            model: The name of the model or of a loaded adapter.
            trace_headers: The trace context of the caller, as of ``encode``.
        """
        given = Options(pooling_params, tokenization_kwargs, lora_request, priority)
        batch_id, name, rows = await self._rows(
            engine, "embed", inputs, given, model, trace_headers
        )

        def answer() -> EmbeddingBatch:
            return EmbeddingBatch(batch_id, name, _stacked(rows), *_tokens(rows))

        return await _in_thread(rows, answer)

    async def classify(
        self,
        engine: Any,
        inputs: list[Any],
        pooling_params: Any = None,
        tokenization_kwargs: dict[str, Any] | None = None,
        lora_request: Any = None,
        priority: Any = 0,
        model: str | None = None,
        trace_headers: Any = None,
    ) -> ClassificationBatch:
        """Classifies texts, as one tensor; the arguments are those of ``embed``."""
        given = Options(pooling_params, tokenization_kwargs, lora_request, priority)
        batch_id, name, rows = await self._rows(
            engine, "classify", inputs, given, model, trace_headers
        )

        def answer() -> ClassificationBatch:
            tensor = _stacked(rows)
            labels = labels_of(engine, tensor.shape[-1])
            return ClassificationBatch(batch_id, name, tensor, labels, *_tokens(rows))

        return await _in_thread(rows, answer)

    async def encode_batch(
        self,
        engine: Any,
        inputs: list[Any],
        task: str,
        pooling_params: Any = None,
        tokenization_kwargs: dict[str, Any] | None = None,
        lora_request: Any = None,
        priority: Any = 0,
        model: str | None = None,
        trace_headers: Any = None,
    ) -> PoolingBatch:
        """Computes a task that is named, as a tensor for each input.

        Args:
            engine: The engine.
            inputs: Prompts, or maps with ``messages``.
            task: ``embed``, ``classify``, ``token_embed`` or ``token_classify``.
            pooling_params: As of ``embed``, like those that follow.
            tokenization_kwargs: How all inputs are tokenized.
            lora_request: An adapter.
            priority: Of the inputs.
            model: The name of the model or of a loaded adapter.
            trace_headers: The trace context of the caller, as of ``encode``.
        """
        check_task(task)
        given = Options(pooling_params, tokenization_kwargs, lora_request, priority)
        batch_id, name, rows = await self._rows(engine, task, inputs, given, model, trace_headers)

        def answer() -> PoolingBatch:
            outputs = [row.data for row in rows]
            return PoolingBatch(batch_id, name, task, outputs, *_tokens(rows))

        return await _in_thread(rows, answer)

    async def score(
        self,
        engine: Any,
        queries: list[Any],
        documents: list[Any],
        pooling_params: dict[str, Any] | None = None,
        tokenization_kwargs: dict[str, Any] | None = None,
        lora_request: Any = None,
        priority: int = 0,
        model: str | None = None,
        chat_template: str | None = None,
        chat_template_kwargs: dict[str, Any] | None = None,
        max_tokens_per_query: int = 0,
        max_tokens_per_doc: int = 0,
        trace_headers: Any = None,
    ) -> ScoreBatch:
        """Scores how well queries and documents fit each other.

        Args:
            engine: The engine.
            queries: One for all documents, or one for each.
            documents: Texts, or maps with ``content``.
            pooling_params: As of ``embed``, like those that follow.
            tokenization_kwargs: How all texts are tokenized.
            lora_request: An adapter.
            priority: Of the requests.
            model: The name of the model or of a loaded adapter.
            chat_template: See ``Pairs``.
            chat_template_kwargs: See ``Pairs``.
            max_tokens_per_query: See ``Pairs``.
            max_tokens_per_doc: See ``Pairs``.
            trace_headers: The trace context of the caller, as of ``encode``.
        """
        limits = (max_tokens_per_query, max_tokens_per_doc)
        pairs = Pairs(queries, documents, chat_template, chat_template_kwargs, *limits)
        pairs.check()
        _supported, renderer = await self._renderer(engine)
        task = renderer.score_task()
        adapted, name = adapter(engine, model, lora_request)
        given = Options(pooling_params, tokenization_kwargs, adapted, priority)

        def prepare() -> Any:
            pairs.check_texts()
            return renderer.pairs(pairs, Checks(engine).parameters(task, 1, given))

        requests, finish = await _in_thread(documents, prepare)
        batch_id = f"score-{uuid.uuid4().hex}"
        batch = self._batch(engine, renderer, requests, batch_id, trace_headers)
        outputs = await batch.outputs()

        def answer() -> ScoreBatch:
            scored = finish(outputs)
            usage = _tokens([_row(output) for output in outputs])[-1]
            counts = (scored.prompt_tokens, scored.cached_tokens)
            return ScoreBatch(batch_id, name, scored.scores, *counts, usage)

        return await _in_thread(outputs, answer)

    # --- The way of every batch ----------------------------------------------------

    async def _rows(
        self,
        engine: Any,
        task: str,
        inputs: list[Any],
        given: Options,
        model: str | None,
        trace_headers: Any,
    ) -> tuple[str, str, list[Row]]:
        """The batch's id, the model's name, and a row for each input."""
        check_count(inputs, "inputs")
        supported, renderer = await self._renderer(engine)
        check_supported(task, supported)
        adapted, name = adapter(engine, model, given.lora_request)
        options = replace(given, lora_request=adapted)

        def prepare() -> list[Request]:
            parameters = Checks(engine).parameters(task, len(inputs), options)
            return renderer.inputs(task, inputs, parameters)

        requests = await _in_thread(inputs, prepare)
        batch_id = f"{task}-{uuid.uuid4().hex}"
        batch = self._batch(engine, renderer, requests, batch_id, trace_headers, keep=_row)
        rows = await batch.outputs()
        return batch_id, name, rows

    def _batch(
        self,
        engine: Any,
        renderer: Renderer,
        requests: Sequence[Request],
        batch_id: str,
        trace_headers: Any,
        keep: Callable[[Any], Any] = lambda output: output,
    ) -> Batch:
        options = {"trace_headers": Checks(engine).trace_headers(trace_headers)}
        return Batch(
            engine, renderer, requests, batch_id, abort=self._abort, keep=keep, options=options
        )

    async def _renderer(self, engine: Any) -> tuple[Sequence[str], Renderer]:
        """What the engine can do, and its renderer; the first use makes it."""
        supported = tuple(await engine.get_supported_tasks())
        renderer = self._renderers.get(engine)
        if renderer is None:
            if getattr(engine, "renderer", None) is None:
                renderer = PlainRenderer(engine)
            elif engine.renderer.tokenizer is None:
                raise Unsupported(
                    "batches need an engine with a tokenizer; this one skipped it: call encode"
                )
            else:
                # It imports vLLM's server.
                renderer = await asyncio.to_thread(VllmRenderer, engine, supported)
            self._renderers[engine] = renderer
        return supported, renderer


def _row(output: Any) -> Row:
    return Row(output.outputs.data, len(output.prompt_token_ids), output.num_cached_tokens)


def _tokens(rows: Sequence[Row]) -> tuple[list[int], list[int], PoolingUsage]:
    """The tokens of each input, those of them that were cached, and both together."""
    prompt = [row.prompt_tokens for row in rows]
    cached = [row.cached_tokens for row in rows]
    return prompt, cached, PoolingUsage(sum(prompt), sum(cached))


def _stacked(rows: Sequence[Row]) -> Any:
    return stacked([row.data for row in rows])


async def _in_thread(values: Sequence[Any], function: Callable[[], T]) -> T:
    """Work on each of many values, where it does not hold up the loop."""
    size = WORK_OF_ONE * len(values)
    if size < large_work.LARGE_WORK:
        return await asyncio.to_thread(function)
    return await large_work.run(size, function)


def adapter(engine: Any, model: str | None, lora_request: Any) -> tuple[Any, str]:
    """The adapter of a batch, and the name of what answers.

    Raises:
        InvalidArgument: Two adapters are given, or there is none of the name.
    """
    own = getattr(engine, "model_config", None)
    if model is None:
        served = getattr(own, "served_model_name", "")
        served = served[0] if isinstance(served, list) else served
        named = lora_request.get("lora_name") if isinstance(lora_request, dict) else None
        return lora_request, str(named or served)
    if lora_request is not None:
        raise InvalidArgument(
            "model: give the name of an adapter, or a lora_request, not both", parameter="model"
        )
    if own is None:
        raise Unsupported("model: this engine is none of vLLM's; give a lora_request")
    return adapter_named(engine, model), model


def labels_of(engine: Any, count: int) -> list[str] | None:
    """The names of so many classes, in the order of their numbers; None if the model has none."""
    config = getattr(getattr(engine, "model_config", None), "hf_config", None)
    names = getattr(config, "id2label", None) or {}
    if set(names) != set(range(count)):
        return None
    return [str(names[number]) for number in range(count)]
