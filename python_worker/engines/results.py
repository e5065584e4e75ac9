"""What methods of an engine return, where the object itself will not do.

One table from a method to a conversion. vLLM annotates and documents one type
and returns another (``list_loras`` a list), or hands out what has no meaning on
the other side of the wire (a configuration object as a value in a dict).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any


def _plain(config: Any) -> Any:
    if dataclasses.is_dataclass(config) and not isinstance(config, type):
        return dataclasses.asdict(config)
    return config


RESULTS: Mapping[str, Callable[[Any], Any]] = {
    # Annotated set[int]; a list since it comes from EngineCore.
    "list_loras": set,
    # Annotated tuple[SupportedTask, ...]; a list for the same reason.
    "get_supported_tasks": tuple,
    # Earlier versions returned None from a call that always woke everything up.
    "wake_up": lambda awake: True if awake is None else awake,
    "get_kv_event_sources": lambda sources: {rank: _plain(it) for rank, it in sources.items()},
}


def documented(method: str, result: Any) -> Any:
    """A result as vLLM documents it."""
    convert = RESULTS.get(method)
    return result if convert is None else convert(result)
