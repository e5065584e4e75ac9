"""Many rows as one tensor, whichever library made them; none is imported for it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any


def stacked(rows: Sequence[Any]) -> Any:
    """One tensor of rows of the same shape.

    Raises:
        ValueError: The shapes differ.
    """
    shapes = {tuple(row.shape) for row in rows}
    if len(shapes) > 1:
        raise ValueError(f"the outputs of one batch have the shapes {sorted(shapes)}")
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(rows[0], torch.Tensor):
        return torch.stack(list(rows))
    return array_like(rows[0], [row.tolist() for row in rows])


def array_like(array: Any, numbers: Sequence[Any]) -> Any:
    """An array of numpy's, or of the class that stands for it where there is none."""
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(array, numpy.ndarray):
        return numpy.array(numbers, array.dtype)
    return type(array)(numbers)


def bytes_of(tensor: Any) -> int:
    """How many bytes its numbers take."""
    size = getattr(tensor, "nbytes", None)
    return size if isinstance(size, int) else 0


def is_empty(tensor: Any) -> bool:
    """Whether it is what vLLM gives for a request that was aborted: one dimension of no numbers."""
    return tuple(tensor.shape) == (0,)
