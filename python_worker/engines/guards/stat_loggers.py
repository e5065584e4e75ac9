"""Gives each engine a stat logger of ours, whose numbers ``engines.metrics`` reads."""

from __future__ import annotations

import inspect
from typing import Any

from typing_extensions import override

from python_worker.engines.guards.protocols import AsyncLLM
from python_worker.engines.metrics import Metrics


class StatLoggerGuard(AsyncLLM):
    """Adds ``Metrics`` to the stat loggers, unless the engine is told to log no statistics.

    No guard after it may take ``__init__``: it reads the parameters of the engine class's own.
    """

    _bridge_metrics: Metrics

    @override
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._bridge_metrics = Metrics()
        bound = inspect.signature(super().__init__).bind(*args, **kwargs)
        bound.apply_defaults()
        # A user's own subclass may take them in some other way.
        parameters = bound.signature.parameters
        takes_loggers = {"log_stats", "stat_loggers"} <= parameters.keys()
        if takes_loggers and bound.arguments["log_stats"]:
            given = bound.arguments.get("stat_loggers")
            bound.arguments["stat_loggers"] = [*(given or []), self._bridge_metrics]
        super().__init__(*bound.args, **bound.kwargs)
