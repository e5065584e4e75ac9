"""The rows of ``surface`` for inference providers."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

from python_worker.dispatch.served_classes import Constructors, ServedClass
from python_worker.integrations.inference.async_llm import AsyncLLMProvider
from python_worker.integrations.inference.factory import Factory
from python_worker.integrations.inference.llama_cpp import LlamaCppProvider
from python_worker.integrations.inference.ollama import OllamaProvider
from python_worker.integrations.inference.provider import WorkerProvider
from python_worker.integrations.inference.results import as_map
from python_worker.integrations.inference.transformers_local import TransformersProvider
from python_worker.integrations.inference.vllm_server import VLLMProvider
from python_worker.validation import signatures

NEW = "new"

METHODS = frozenset({"generate", "load_adapter", "unload_adapter", "list_adapters"})

PROVIDERS: tuple[type[Any], ...] = (
    VLLMProvider,
    OllamaProvider,
    LlamaCppProvider,
    TransformersProvider,
    AsyncLLMProvider,
)


def inference() -> list[ServedClass]:
    """The factory, and the classes of providers."""
    factory = Factory()
    return [
        ServedClass(
            name="Inference",
            singleton=factory,
            shown=frozenset(
                {"get_provider", "get_provider_for_step", "clear_cache", "resolve_dtype"}
            ),
            strict=True,
            at_stop=factory.stop,
        ),
        *(_provider(cls, factory) for cls in PROVIDERS),
    ]


def _provider(cls: type[Any], factory: Factory) -> ServedClass:
    return ServedClass(
        name=cls.__name__,
        cls=cls,
        constructors=Constructors({NEW}, functools.partial(_new, factory, cls)),
        shown=METHODS,
        strict=True,
        results={"generate": as_map},
        # The engine of an ``AsyncLLMProvider``.
        owner=lambda provider: getattr(provider, "engine", provider),
        death=_death,
        released=factory.released,
    )


def _death(provider: Any) -> BaseException | None:
    """Why the engine of a provider is dead; None while it lives, or where there is none."""
    engine = getattr(provider, "engine", None)
    return engine.dead_error if engine is not None and engine.errored else None


async def _new(
    factory: Factory, cls: type[Any], method: str, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> WorkerProvider:
    checked = signatures.signature_of(cls.new, strict=True)
    bound_args, bound_kwargs = checked.bind(args, kwargs)
    provider: WorkerProvider = cls.new(*bound_args, **bound_kwargs)
    factory.made(provider)
    return provider
