"""What ``prompt_ends`` uses of tokenizers and of vLLM's detokenizers; see ``protocols``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol


class AddedToken(Protocol):
    """A token of ``tokenizers`` that is found in a text before all others."""

    special: bool


class TokenizersBackend(Protocol):
    """A ``Tokenizer`` of the library ``tokenizers``."""

    def decode(self, ids: Sequence[int], skip_special_tokens: bool = True) -> str:
        """The text of these ids."""

    def token_to_id(self, token: str) -> int | None:
        """The id of a token."""

    def get_added_tokens_decoder(self) -> Mapping[int, AddedToken]:
        """The added tokens, by their ids."""


class SlowTokenizer(Protocol):
    """A tokenizer that the library ``tokenizers`` has no part in."""

    is_fast: bool

    def convert_ids_to_tokens(
        self, ids: list[int], skip_special_tokens: bool = False
    ) -> list[str | None]:
        """The tokens of these ids."""

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        """The text of tokens."""

    def get_added_vocab(self) -> Mapping[str, int]:
        """The added tokens."""


class FastIncrementalDetokenizer(Protocol):
    """The detokenizer for tokenizers of the library ``tokenizers``."""

    tokenizer: TokenizersBackend
    skip_special_tokens: bool
    # Has ``step(tokenizer, token)``.
    stream: object


class SlowIncrementalDetokenizer(Protocol):
    """The detokenizer for all other tokenizers."""

    tokenizer: SlowTokenizer
    skip_special_tokens: bool
    spaces_between_special_tokens: bool
    tokens: list[str]
    prefix_offset: int
    read_offset: int
    decode_next: Callable[[int], str]
