"""The array that ``encode`` gives where numpy is not installed.

It encodes as numpy's own does, because the table of values goes by the name of the class; there
is nothing else that it can do. With numpy installed it is not used.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import Any


class DType:
    """The type of the numbers."""

    name = "float32"
    byteorder = "<"


class ndarray:
    """Numbers in the shape of nested lists.

    Args:
        rows: The lists, or lists of lists; all of a level have the same length.
    """

    __module__ = "numpy"

    dtype = DType

    def __init__(self, rows: Sequence[Any]) -> None:
        self._rows = rows

    @property
    def shape(self) -> tuple[int, ...]:
        """The length of each level."""
        extents: list[int] = []
        level: Any = self._rows
        while isinstance(level, Sequence):
            extents.append(len(level))
            level = level[0] if level else None
        return tuple(extents)

    def tobytes(self, order: str = "C") -> bytes:
        """Returns the numbers, the last index moving fastest.

        Raises:
            ValueError: The lists are of uneven lengths.
        """
        numbers = _flatten(self._rows)
        if len(numbers) != math.prod(self.shape):
            raise ValueError("the lists are of uneven lengths")
        return struct.pack(f"<{len(numbers)}f", *numbers)

    def tolist(self) -> list[Any]:
        """Returns the numbers as nested lists."""
        return [list(row) if isinstance(row, Sequence) else row for row in self._rows]

    def __getitem__(self, index: Any) -> ndarray:
        return ndarray(self._rows[index])


def array(rows: Sequence[Any]) -> Any:
    """Returns a float32 array of nested lists: numpy's if there is one."""
    try:
        import numpy as np
    except ImportError:
        return ndarray(rows)
    return np.array(rows, np.float32)


def _flatten(value: Any) -> list[float]:
    if not isinstance(value, Sequence):
        return [float(value)]
    return [number for part in value for number in _flatten(part)]
