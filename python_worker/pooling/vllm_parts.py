"""What pooling calls of vLLM. Every import of vLLM is in a function: it takes seconds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def io_processors(engine: Any, supported_tasks: Sequence[str]) -> dict[str, Any]:
    """The processors of an engine: one for its own task, and one to score, if it can.

    A request may bring a chat template, as in a chat.
    """
    from vllm.entrypoints.pooling.factories import init_pooling_io_processors

    processors: dict[str, Any] = init_pooling_io_processors(
        tuple(supported_tasks), engine.vllm_config, engine.renderer, _templates()
    )
    return processors


def plain_processor(engine: Any) -> Any:
    """The processor of a task that the engine can do beside its own."""
    from vllm.entrypoints.pooling.base.io_processor import PoolingIOProcessor

    return PoolingIOProcessor(engine.vllm_config, engine.renderer, _templates())


def _templates() -> Any:
    from vllm.renderers.chat_utils import ChatTemplateConfig

    return ChatTemplateConfig(
        chat_template=None,
        chat_template_content_format="auto",
        trust_request_chat_template=True,
        trust_request_mm_kwargs=True,
    )


def score_type(task: str | None) -> str | None:
    """How a model of a task scores: ``bi-encoder``, ``cross-encoder``, ``late-interaction``."""
    from vllm.tasks import SCORE_TYPE_MAP

    found: str | None = SCORE_TYPE_MAP.get(task)
    return found


def encode_context(task: str, prompt: Any, **common: Any) -> Any:
    """What a processor makes the request of one prompt from."""
    from vllm.entrypoints.pooling.typing import OfflineEncodeInputsContext

    return OfflineEncodeInputsContext(pooling_task=task, prompts=[prompt], **common)


def scoring_context(task: str, **given: Any) -> Any:
    """What a processor makes the requests of all pairs from."""
    from vllm.entrypoints.pooling.typing import OfflineScoringInputsContext

    return OfflineScoringInputsContext(pooling_task=task, **given)


def outputs_context(outputs: list[Any], n_queries: int) -> Any:
    """What a processor makes scores from."""
    from vllm.entrypoints.pooling.typing import OfflineOutputsContext

    return OfflineOutputsContext(outputs=outputs, n_queries=n_queries)


def chat_request_class(task: str) -> Any:
    """The class of a conversation that is pooled, a model of pydantic's."""
    from vllm.entrypoints.pooling.classify.protocol import ClassificationChatRequest
    from vllm.entrypoints.pooling.embed.protocol import EmbeddingChatRequest

    return ClassificationChatRequest if "classify" in task else EmbeddingChatRequest


def chat_context(request: Any, params: Any, extras: dict[str, Any]) -> Any:
    """What a processor makes the request of one conversation from."""
    from vllm.entrypoints.pooling.typing import PoolingServeContext

    return PoolingServeContext(
        request=request,
        model_name="",
        request_id="",
        pooling_params=params,
        lora_request=None,
        priorities=0,
        prompt_extras=extras,
    )
