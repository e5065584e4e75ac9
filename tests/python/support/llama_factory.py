"""LLaMA-Factory's engine without an engine of vLLM's: what it makes of its arguments and inputs."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from python_worker.integrations.llama_factory.arguments import grouped, parsed
from python_worker.integrations.llama_factory.hosting import library
from python_worker.integrations.llama_factory.vllm_engine import VllmEngine

USER: list[dict[str, str]] = [{"role": "user", "content": "Hello"}]


class NoEngine:
    """Answers nothing: what is tested makes no request."""


def hosted(folder: Path, **arguments: Any) -> Any:
    """LLaMA-Factory's engine for a model, from one map of arguments."""
    found = library()
    groups = grouped(found, {"model_name_or_path": str(folder), **arguments})
    return found.engine(parsed(found, groups))


def engine(folder: Path, **arguments: Any) -> VllmEngine:
    """The same as clients reach it."""
    return VllmEngine(library(), hosted(folder, **arguments), [], NoEngine())


def with_processor(of: VllmEngine) -> VllmEngine:
    """Lets a model without a processor take media, as far as its prompts go."""
    part = SimpleNamespace(merge_size=2)
    of._hosted.processor = SimpleNamespace(
        image_processor=part,
        video_processor=part,
        feature_extractor=part,
        audio_bos_token="<|audio_bos|>",
        audio_eos_token="<|audio_eos|>",
    )
    return of
