"""Encodes the items of a stream whose client wants only the texts, or only the token ids.

An item is what is new since the item before, whatever the output kind. It is a text or an array of
ids, and nothing else: the client makes no output of it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Literal

from python_worker.codec.encoder import Encoder
from python_worker.codec.output_patch import short_text, unsigned

Part = Literal["text", "token_ids"]
"""The part of a completion that is sent."""


class PartEncoder:
    """Encodes a part of each output of one stream, in order. Each output has one completion.

    Args:
        part: Which part.
        cumulative: Whether the request's output kind is CUMULATIVE.

    Attributes:
        cumulative: The argument.
        plain: Whether the next item can be sent without an output: from the first item on.
    """

    plain = False

    def __init__(self, part: Part, *, cumulative: bool) -> None:
        self.cumulative = cumulative
        self._text = part == "text"
        self._encoder = Encoder()
        # Of a CUMULATIVE output, how many characters or ids the client has.
        self._sent = 0

    def encode(self, item: Any) -> bytes:
        """Returns the bytes of an output's new text or token ids."""
        self.plain = not item.finished
        new = [self.encode_completion(it.index, it.text, it.token_ids) for it in item.outputs]
        return b"".join(new)

    def encode_completion(self, index: int, text: str, token_ids: Sequence[int]) -> bytes:
        """Returns the bytes of a completion's new text or token ids."""
        if self._text:
            return self._encode_text(text)
        if self.cumulative:
            sent, self._sent = self._sent, len(token_ids)
            token_ids = token_ids[sent:]
        if len(token_ids) == 1:
            return b"\x91" + unsigned(token_ids[0])
        return self._encoder.encode(list(token_ids))

    def encode_token(self, index: int, text: str, token_ids: Sequence[int], metrics: Any) -> bytes:
        """Returns the bytes of the item that a token brings."""
        return self.encode_completion(index, text, token_ids)

    def _encode_text(self, text: str) -> bytes:
        if self.cumulative:
            sent, self._sent = self._sent, len(text)
            text = text[sent:]
        return short_text(text) or self._encoder.encode(text)

    def encode_completions(self, item: Any) -> dict[int, bytes] | None:
        """Never joins items: there is one completion."""
        return None

    def encode_metrics(self, metrics: Any) -> bytes:
        """Sends no metrics."""
        return b""

    def encode_plain(self, completions: Collection[bytes], changes: bytes) -> bytes:
        """Returns the bytes of an item: those of its completion."""
        return b"".join(completions)
