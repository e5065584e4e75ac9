"""A worker extension for tests: ``worker_extension_cls="…worker_extension.WorkerExtension"``.

vLLM mixes the class into its workers, and ``collective_rpc`` calls its methods there.
"""

from __future__ import annotations

from typing import Any


class WorkerExtension:
    """Methods of every kind that a real extension has."""

    model_config: Any

    def echo(self, *args: Any, **kwargs: Any) -> list[Any]:
        """Returns what it was given: a list of the arguments, and the keywords."""
        return [list(args), kwargs]

    def nothing(self) -> None:
        """Returns None."""

    def fail(self, message: str) -> None:
        """Raises a ValueError."""
        raise ValueError(message)

    def model_name(self) -> str:
        """Returns the path of the model that the worker has loaded."""
        return str(self.model_config.model)

    def unsendable(self) -> object:
        """Returns what no message can hold: without a check it ends the engine."""
        return object()
