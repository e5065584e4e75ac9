"""Functions for ``LLM.apply_model``: they run in the processes of an engine."""

from __future__ import annotations

from typing import Any


def count_parameters(model: Any) -> int:
    """How many numbers a model has."""
    return sum(parameter.numel() for parameter in model.parameters())


def fail(model: Any) -> None:
    """Raises."""
    raise ValueError("the function failed")
