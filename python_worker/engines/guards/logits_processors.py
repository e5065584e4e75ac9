"""Custom logits processors, checked before an engine is built with them.

vLLM looks at them in its worker process: 15 seconds later, and all that comes back is that the
engine did not start.
"""

from __future__ import annotations

from collections.abc import Callable

from python_worker.engines.guards.protocols import VllmConfig
from python_worker.exceptions import InvalidArgument


def check_logits_processors(
    config: VllmConfig, load: Callable[[tuple[str | type, ...]], object]
) -> None:
    """Refuse processors that the engine could not use.

    Args:
        config: The engine's.
        load: vLLM's function that imports them.
    """
    given = config.model_config.logits_processors
    if not given:
        return
    if config.model_config.runner_type == "pooling":
        raise _refused("a pooling model has no logits: it does not support logits processors")
    if config.speculative_config is not None:
        raise _refused("logits processors are not supported together with speculative decoding")
    try:
        load(tuple(given))
    except Exception as error:
        raise _refused(str(error.__cause__ or error)) from error


def _refused(message: str) -> InvalidArgument:
    return InvalidArgument(f"logits_processors: {message}", parameter="logits_processors")
