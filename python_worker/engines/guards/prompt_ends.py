"""Prompts that end inside a character: their text is no part of the output.

vLLM tells new text from the prompt's by decoding the prompt once. Where the prompt's ids end in a
piece of a character, or in a U+FFFD, which looks like one, that fails: the fast detokenizer gives
the whole prompt as the first text, and a stop string in it ends the answer; the slow one loses the
first characters. Such a prompt gets a start of its own here. It ends with the first text, and then
vLLM's detokenizer goes on. All other prompts cost the decoding of their last token.

The character that the output completes belongs to the output. What the prompt alone decodes to,
U+FFFD included, does not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from os.path import commonprefix
from typing import cast

from python_worker.engines.guards.protocols import (
    EngineCoreRequest,
    RequestState,
    StreamingUpdate,
)
from python_worker.engines.guards.text_protocols import (
    FastIncrementalDetokenizer,
    SlowIncrementalDetokenizer,
    TokenizersBackend,
)

OPEN = "\ufffd"
"""What an unfinished character decodes to."""

CONTEXT = 8
"""Tokens of the prompt that are decoded with the first text. A character has at most four."""

DecodeStreams = Callable[..., object]
"""``tokenizers.decoders.DecodeStream``."""

DecodeNext = Callable[..., tuple[list[str], str, int, int]]
"""vLLM's ``detokenize_incrementally``."""

TextOf = Callable[[SlowIncrementalDetokenizer, list[str]], str]
"""The text of tokens, as ``DecodeNext`` makes it."""


class PromptEnds:
    """Looks at the end of each prompt of one engine.

    Args:
        decode_stream: The class of the fast detokenizer's streams.
        decode_next: What the slow detokenizer decodes a token by.
        text_of: What it decodes several by.
    """

    def __init__(
        self, decode_stream: DecodeStreams, decode_next: DecodeNext, text_of: TextOf
    ) -> None:
        self._decode_stream = decode_stream
        self._decode_next = decode_next
        self._text_of = text_of
        self._vocabulary: Vocabulary | None = None

    def begin(self, request: EngineCoreRequest, state: RequestState | None) -> None:
        """Look at a new request, before its first output comes.

        Args:
            request: The request; elements of a streamed prompt but the first are not looked at.
            state: Its state.
        """
        if state is None or not request.prompt_token_ids or state.detokenizer is None:
            return
        if request.resumable:
            if "apply_streaming_update" in vars(state):
                return
            self._follow(state)
        self._settle(state, request.prompt_token_ids)

    def _follow(self, state: RequestState) -> None:
        """Look at later elements of a streamed prompt when vLLM begins them."""
        apply = state.apply_streaming_update

        def apply_and_settle(update: StreamingUpdate) -> None:
            apply(update)
            if update.prompt_token_ids:
                self._settle(state, update.prompt_token_ids, is_first=False)

        state.apply_streaming_update = apply_and_settle

    def _settle(
        self, state: RequestState, prompt_ids: Sequence[int], *, is_first: bool = True
    ) -> None:
        # By their fields, because ``isinstance`` of a protocol takes longer than all the rest.
        if hasattr(state.detokenizer, "stream"):
            self._settle_fast(cast(FastIncrementalDetokenizer, state.detokenizer), prompt_ids)
        elif hasattr(state.detokenizer, "read_offset"):
            detokenizer = cast(SlowIncrementalDetokenizer, state.detokenizer)
            self._settle_slow(detokenizer, prompt_ids, is_first=is_first)

    def _settle_fast(
        self, detokenizer: FastIncrementalDetokenizer, prompt_ids: Sequence[int]
    ) -> None:
        vocabulary = self._vocabulary
        if vocabulary is None or vocabulary.tokenizer is not detokenizer.tokenizer:
            vocabulary = self._vocabulary = Vocabulary(detokenizer.tokenizer)
        if vocabulary.is_open(prompt_ids, skip_special_tokens=detokenizer.skip_special_tokens):
            context = vocabulary.context(prompt_ids)
            detokenizer.stream = FirstText(detokenizer, context, self._decode_stream)

    def _settle_slow(
        self, detokenizer: SlowIncrementalDetokenizer, prompt_ids: Sequence[int], *, is_first: bool
    ) -> None:
        found = detokenizer.tokenizer.convert_ids_to_tokens(
            list(prompt_ids[-CONTEXT:]), skip_special_tokens=detokenizer.skip_special_tokens
        )
        tail = [token or "" for token in found]
        before = self._text_of(detokenizer, tail) if tail else ""
        if before.endswith(OPEN):
            if is_first:  # vLLM has put the same there, or less
                detokenizer.tokens = []
            detokenizer.decode_next = slow_first_text(detokenizer, tail, before, self._decode_next)


class Vocabulary:
    """What has to be known of a tokenizer.

    Args:
        tokenizer: Of the library ``tokenizers``.
    """

    def __init__(self, tokenizer: TokenizersBackend) -> None:
        self.tokenizer = tokenizer
        added = tokenizer.get_added_tokens_decoder()
        self._special = frozenset(number for number, token in added.items() if token.special)
        # Where bytes have tokens of this form, all that follow each other are decoded together: one
        # that is wrong makes U+FFFD of the others too.
        names = (f"<0x{byte:02X}>" for byte in range(256))
        found = map(tokenizer.token_to_id, names)
        self._bytes = frozenset(number for number in found if number is not None)

    def is_open(self, ids: Sequence[int], *, skip_special_tokens: bool) -> bool:
        """Whether the text of these ids ends with U+FFFD."""
        decode = self.tokenizer.decode
        for token in reversed(ids):
            if skip_special_tokens and token in self._special:
                continue
            text = decode([token], skip_special_tokens=skip_special_tokens)
            if not text:
                continue
            if not text.endswith(OPEN) and token not in self._bytes:
                return False
            return decode(ids, skip_special_tokens=skip_special_tokens).endswith(OPEN)
        return False

    def context(self, ids: Sequence[int]) -> list[int]:
        """As many of the last ids as decide how the next ones decode."""
        start, shown = len(ids), 0
        while start and (shown < CONTEXT or ids[start] in self._bytes):
            start -= 1
            shown += ids[start] not in self._special
        return list(ids[start:])


class FirstText:
    """Stands in for a fast detokenizer's stream until there is text.

    Args:
        detokenizer: Gets a stream of vLLM's own then.
        ids: The end of the prompt.
        decode_stream: Makes that stream.
    """

    def __init__(
        self,
        detokenizer: FastIncrementalDetokenizer,
        ids: list[int],
        decode_stream: DecodeStreams,
    ) -> None:
        self._detokenizer = detokenizer
        self._ids = ids
        self._decode_stream = decode_stream
        self._skip = detokenizer.skip_special_tokens
        self._before = detokenizer.tokenizer.decode(ids, skip_special_tokens=self._skip)

    def step(self, tokenizer: TokenizersBackend, token: int) -> str | None:
        """Take a token; returns the text that it completes."""
        ids = [*self._ids, token]
        # It raises for a token that is none, which then counts for nothing.
        text = tokenizer.decode(ids, skip_special_tokens=self._skip)
        self._ids = ids
        if text.endswith(OPEN):
            return None
        self._detokenizer.stream = self._decode_stream(ids=ids, skip_special_tokens=self._skip)
        return text_after(self._before, text)


def slow_first_text(
    detokenizer: SlowIncrementalDetokenizer, tail: list[str], before: str, decode_next: DecodeNext
) -> Callable[[int], str]:
    """A ``decode_next`` for a slow detokenizer; it removes itself when there is text.

    Args:
        detokenizer: vLLM's.
        tail: The last tokens of the prompt.
        before: Their text.
        decode_next: vLLM's function.
    """
    start = len(detokenizer.tokens)
    detokenizer.tokens.extend(tail)

    def first_text(token: int) -> str:
        tokens, text, prefix_offset, read_offset = decode_next(
            tokenizer=detokenizer.tokenizer,
            all_input_ids=[token],
            prev_tokens=detokenizer.tokens,
            prefix_offset=start,
            read_offset=start,
            skip_special_tokens=detokenizer.skip_special_tokens,
            spaces_between_special_tokens=detokenizer.spaces_between_special_tokens,
        )
        detokenizer.tokens.extend(tokens)
        if not text:
            return ""
        detokenizer.prefix_offset, detokenizer.read_offset = prefix_offset, read_offset
        del detokenizer.decode_next
        return text_after(before, text)

    return first_text


def text_after(before: str, text: str) -> str:
    """The part of a text that is not the prompt's.

    Args:
        before: The prompt's text by itself.
        text: The same with the output's.
    """
    return text[len(commonprefix([before, text])) :]  # noqa: RUF071 - no paths
