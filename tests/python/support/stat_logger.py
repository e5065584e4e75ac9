"""A stat logger that a worker loads by its import path."""

from __future__ import annotations

import logging
from typing import Any

from vllm.v1.metrics.loggers import StatLoggerBase

logger = logging.getLogger(__name__)


class CountingStatLogger(StatLoggerBase):  # type: ignore[misc]
    """Counts what it records and writes the count to the worker's log."""

    def __init__(self, vllm_config: Any, engine_index: int = 0) -> None:
        self.recorded = 0

    def record(self, *args: Any, **kwargs: Any) -> None:
        """Counts a step."""
        self.recorded += 1

    def log_engine_initialized(self) -> None:
        """Says nothing."""

    def log(self) -> None:
        """Writes the count."""
        logger.warning("stat logger by import path: %s", "some" if self.recorded else "none")


NOT_CALLABLE = 5
