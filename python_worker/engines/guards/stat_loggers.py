"""Gives each engine two stat loggers beside its own.

The numbers of one are read by ``engines.metrics``. The other is vLLM's for Prometheus, in the class
that keeps the series of this engine (``engines.prometheus_series``).
"""

from __future__ import annotations

import inspect
from typing import Any

from typing_extensions import override

from python_worker.engines.guards.protocols import AsyncLLM
from python_worker.engines.metrics import Metrics
from python_worker.engines.prometheus_series import Series


class StatLoggerGuard(AsyncLLM):
    """Adds the stat loggers, unless the engine is told to log no statistics.

    No guard after it may take ``__init__``: it reads the parameters of the engine class's own.
    """

    _bridge_metrics: Metrics
    _bridge_series: Series | None

    @override
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._bridge_metrics = Metrics()
        self._bridge_series = None
        bound = inspect.signature(super().__init__).bind(*args, **kwargs)
        bound.apply_defaults()
        # A user's own subclass may take them in some other way.
        parameters = bound.signature.parameters
        takes_loggers = {"log_stats", "stat_loggers"} <= parameters.keys()
        if takes_loggers and bound.arguments["log_stats"]:
            loggers = [*(bound.arguments.get("stat_loggers") or []), self._bridge_metrics]
            series = Series()
            # vLLM adds its own where it is given none.
            if (prometheus := series.logger_class()) is not None:
                self._bridge_series = series
                loggers.append(prometheus)
            bound.arguments["stat_loggers"] = loggers
        super().__init__(*bound.args, **bound.kwargs)
