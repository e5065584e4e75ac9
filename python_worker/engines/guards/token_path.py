"""Decides for each engine whether its tokens may take the direct path; see ``token_tap``."""

from __future__ import annotations

import functools
import importlib
import logging
from collections.abc import Hashable, Iterator
from typing import Any, ClassVar

from python_worker.process.versions import vllm_version
from python_worker.settings import TokenPathSetting
from python_worker.streaming import known_sources
from python_worker.streaming.token_tap import TokenTap

logger = logging.getLogger(__name__)

TURNED_OFF = "turned off: the worker was started with --token-path outputs"


class TokenPath:
    """A mixin that gives an engine its token tap.

    The builder sets ``_token_path_setting`` when it makes the class.
    """

    _token_path_setting: ClassVar[TokenPathSetting]

    @functools.cached_property
    def _token_tap(self) -> TokenTap:
        processor = getattr(self, "output_processor", None)
        reason = TURNED_OFF if self._token_path_setting == "outputs" else unknown_source(processor)
        logger.info("token path of this engine: %s", f"outputs ({reason})" if reason else "direct")
        return TokenTap(processor, reason)


def unknown_source(processor: Any) -> str | None:
    """Why the sources of an engine's vLLM are not known; None if they are.

    Args:
        processor: The engine's output processor, or None if it has none.
    """
    if processor is None:
        return "the engine class is not vLLM's AsyncLLM: it has no output processor"
    # Each is read at most once, so this costs 20 ms for the first engine and nothing for others.
    own: Hashable = type(processor)
    classes = [("processor", own), *_vllm_classes()]
    for role, cls in classes:
        if isinstance(cls, str):
            return known_sources.why_missing(vllm_version(), cls)
        if unknown := known_sources.unknown_method(role, cls):
            return known_sources.why_unknown(vllm_version(), unknown)
    return None


def _vllm_classes() -> Iterator[tuple[str, Hashable]]:
    """The classes that the token tap relies on, with their roles; by name if one is missing."""
    for role, classes in known_sources.SOURCES.items():
        for path in classes:
            module, _, name = path.rpartition(".")
            try:
                yield role, getattr(importlib.import_module(module), name)
            except (ImportError, AttributeError):
                yield role, path
