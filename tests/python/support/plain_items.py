"""A stream of plain items, encoded in both ways: from their parts, and from whole objects."""

from __future__ import annotations

from typing import Any

import pytest

from python_worker.codec.item_encoder import ItemEncoder
from tests.python.support.patches import (
    Consumer,
    completion,
    expected,
    item,
)

KINDS = pytest.mark.parametrize("cumulative", [False, True], ids=["delta", "cumulative"])


class PlainStream:
    """A stream with three encoders: of every item, of plain items as parts, and of single tokens.

    The stream has begun: each completion has been in two items.
    """

    def __init__(self, indexes: list[int], *, cumulative: bool, metrics: Any = None) -> None:
        self.cumulative = cumulative
        self.so_far: dict[int, tuple[str, list[int]]] = {index: ("", []) for index in indexes}
        self.consumer = Consumer()
        self.general = ItemEncoder(cumulative=cumulative)
        self.direct = ItemEncoder(cumulative=cumulative)
        self.single = ItemEncoder(cumulative=cumulative)
        for _ in range(2):
            value = self.grown(dict.fromkeys(indexes, ("", 1)), metrics)
            assert self.consumer.apply(self.direct.encode(value)) == expected(value)
            self.general.encode(value)
            self.single.encode(value)
        assert self.direct.plain

    def grown(self, tokens: dict[int, tuple[str, int]], metrics: Any) -> Any:
        """Returns the next item, in which some completions have one more token."""
        completions = []
        for index, (text, token_id) in tokens.items():
            before = self.so_far[index] if self.cumulative else ("", [])
            self.so_far[index] = (before[0] + text, [*before[1], token_id])
            completions.append(completion(index, *self.so_far[index]))
        return item(*completions, metrics=metrics)

    def check(self, tokens: dict[int, tuple[str, int]], metrics: Any = None) -> bytes:
        """Encodes one more token of some completions both ways; returns the bytes."""
        value = self.grown(tokens, metrics)
        parts = [
            self.direct.encode_completion(output.index, output.text, output.token_ids)
            for output in value.outputs
        ]
        data = self.direct.encode_plain(parts, self.direct.encode_metrics(metrics))
        assert self.consumer.apply(data) == expected(value)
        assert self.general.encode(value) == data
        if len(value.outputs) == 1:
            [it] = value.outputs
            assert self.single.encode_token(it.index, it.text, it.token_ids, metrics) == data
        else:
            self.single.encode(value)
        assert self.general.plain
        return data
