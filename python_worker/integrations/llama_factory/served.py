"""The rows of ``surface`` for LLaMA-Factory."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from python_worker.dispatch.served_classes import Constructors, ServedClass
from python_worker.engines.builder import abort
from python_worker.integrations.llama_factory.factory import LlamaFactory
from python_worker.integrations.llama_factory.vllm_engine import ChatModel, VllmEngine
from python_worker.validation import signatures

NEW: Final = "new"

METHODS: Final = frozenset(
    {
        *("chat", "stream_chat", "get_scores", "infer"),
        *("encode_prompt", "sampling_params", "template", "stop_token_ids", "extract_tool"),
        *("regularize_images", "regularize_videos", "regularize_audios"),
        *("can_generate", "engine_args", "engine_notes", "engine", "last_request_id"),
    }
)

FUNCTIONS: Final = frozenset(
    {"resolve_engine_args", "resolve_args", "templates", "tool_formats", "extract_tool"}
)


def llama_factory() -> list[ServedClass]:
    """LLaMA-Factory itself, and its two classes."""
    factory = LlamaFactory()
    return [
        ServedClass(name="LlamaFactory", singleton=factory, shown=FUNCTIONS, strict=True),
        _row(VllmEngine, factory, factory.new_engine),
        _row(ChatModel, factory, factory.new_chat_model),
    ]


def _row(
    cls: type[Any], factory: LlamaFactory, make: Callable[..., Awaitable[object]]
) -> ServedClass:
    return ServedClass(
        name=cls.__name__,
        cls=cls,
        constructors=Constructors({NEW}, functools.partial(_new, make)),
        shown=METHODS,
        strict=True,
        progress=frozenset({"infer"}),
        results={"chat": _as_maps, "infer": _as_maps},
        owner=lambda made: made.model,
        # With it, what is wrong with a stream's request is an error of the call.
        abort=lambda made, request_ids: abort(made.model, request_ids),
        released=factory.released,
    )


def _as_maps(results: list[Any]) -> list[dict[str, Any]]:
    return [dict(vars(it)) for it in results]


async def _new(
    make: Callable[..., Awaitable[object]],
    method: str,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
) -> object:
    bound_args, bound_kwargs = signatures.signature_of(make, strict=True).bind(args, kwargs)
    return await make(*bound_args, **bound_kwargs)
