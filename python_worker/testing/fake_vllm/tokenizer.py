"""A tokenizer in which every id has a text and every text has ids.

Ids below 256 are the bytes of UTF-8: prompts are made of them. The tokens that the fake engine
makes by default are the ids from 256 on, with the id itself as text: `" 256 257 258"`. Texts that
a script lets it say get ids from 1,000,000 on.
"""

from __future__ import annotations

from collections.abc import Sequence

FIRST_MADE = 256
FIRST_SAID = 1_000_000

#: The default tokens of completion ``k`` of a request begin at ``FIRST_MADE + k * STRIDE``.
STRIDE = 100_000


class FakeTokenizer:
    """See the module's documentation."""

    eos_token = "</s>"

    def __init__(self) -> None:
        self._said: dict[tuple[str, object], int] = {}
        self._texts: dict[int, str] = {}
        self._meanings: dict[int, object] = {}

    @property
    def eos_token_id(self) -> int:
        """The id of the end."""
        return self.say(self.eos_token)

    @property
    def vocab_size(self) -> int:
        """One more than the largest id."""
        return FIRST_SAID + len(self._said)

    def __len__(self) -> int:
        return self.vocab_size

    def encode(self, text: str) -> list[int]:
        """Returns the UTF-8 bytes of a text."""
        return list(text.encode("utf-8", "replace"))

    def decode(self, token_ids: Sequence[int]) -> str:
        """Returns the text of token ids; broken UTF-8 becomes U+FFFD."""
        data = b"".join(
            bytes([token]) if token < FIRST_MADE else self.text(token).encode()
            for token in token_ids
        )
        return data.decode("utf-8", "replace")

    def text(self, token_id: int) -> str:
        """Returns the text of a token that the engine made."""
        return self._texts.get(token_id, f" {token_id}")

    def say(self, text: str, meaning: object = None) -> int:
        """Returns the id of a text, giving it one at its first use.

        Args:
            text: What the token shows.
            meaning: What it means beside its text; texts of two meanings are two tokens.
        """
        key = (text, meaning)
        if key not in self._said:
            token_id = FIRST_SAID + len(self._said)
            self._said[key] = token_id
            self._texts[token_id] = text
            self._meanings[token_id] = meaning
        return self._said[key]

    def meaning(self, token_id: int) -> object:
        """Returns what a token means beside its text; None for most."""
        return self._meanings.get(token_id)
