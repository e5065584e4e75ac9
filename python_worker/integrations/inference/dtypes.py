"""Which dtype of a model's weights fits the memory of a device."""

from __future__ import annotations

from typing import Final

from python_worker.exceptions import InvalidArgument

BYTES: Final = {"float32": 4, "bfloat16": 2}

#: Activations, the KV cache and the fragments between them take memory beside the weights.
SHARE_OF_WEIGHTS: Final = 0.8


def resolve_dtype(param_count: int, memory_bytes: int) -> str:
    """The most exact dtype whose weights fit; the smallest where none does.

    Args:
        param_count: How many parameters the model has.
        memory_bytes: How many bytes are free.

    Raises:
        InvalidArgument: One of the numbers is negative.
    """
    for name, value in (("param_count", param_count), ("memory_bytes", memory_bytes)):
        if value < 0:
            raise InvalidArgument(f"{name}: wants a number of at least 0, got {value}")
    for dtype, size in BYTES.items():
        if param_count * size <= memory_bytes * SHARE_OF_WEIGHTS:
            return dtype
    return next(reversed(BYTES))
