"""Similarities of embeddings in plain Python.

They are for engines that are none of vLLM's: with vLLM's own, its io-processors compute them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from python_worker.pooling.tensors import array_like


def cosines(queries: Sequence[Any], documents: Sequence[Any]) -> Any:
    """The cosine of each pair of embeddings, as one array; a single query is in every pair."""
    if len(queries) == 1:
        queries = list(queries) * len(documents)
    pairs = zip(queries, documents, strict=True)
    return array_like(documents[0], [cosine(one.tolist(), other.tolist()) for one, other in pairs])


def cosine(one: Sequence[float], other: Sequence[float]) -> float:
    """The cosine of the angle between two vectors; 0.0 where one of them has no direction."""
    norms = math.hypot(*one) * math.hypot(*other)
    return sum(a * b for a, b in zip(one, other, strict=True)) / norms if norms else 0.0
