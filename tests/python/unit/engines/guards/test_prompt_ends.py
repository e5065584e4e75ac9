"""The first text after a prompt that ends within a character. vLLM's own are in ``vllm/``.

The tokenizer's tokens are bytes, so that any character can be cut.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import pytest

from python_worker.engines.guards.prompt_ends import (
    CONTEXT,
    OPEN,
    FirstText,
    PromptEnds,
    Vocabulary,
    text_after,
)

SPECIAL, EMPTY = 256, 257
EURO = list("€".encode())


class Tokens:
    """A tokenizer of bytes; one token is special, and one has no text."""

    def __init__(self, *, fallback: bool = False) -> None:
        self.fallback = fallback

    def get_added_tokens_decoder(self) -> dict[int, Any]:
        return {SPECIAL: SimpleNamespace(special=True), 300: SimpleNamespace(special=False)}

    def token_to_id(self, name: str) -> int | None:
        return int(name[3:5], 16) if self.fallback else None

    def decode(self, ids: Iterable[int], skip_special_tokens: bool) -> str:
        if any(number > 300 for number in ids):
            raise OverflowError("no such token")
        words = [b"" if it in (SPECIAL, EMPTY) else bytes((it,)) for it in ids]
        text = b"".join(words).decode(errors="replace")
        if not skip_special_tokens and SPECIAL in ids:
            text += "<s>"
        return text


def fast(*, skip: bool = True, fallback: bool = False) -> Any:
    return SimpleNamespace(
        tokenizer=Tokens(fallback=fallback), stream="vLLM's", skip_special_tokens=skip
    )


def decode_stream(**given: Any) -> Any:
    return given


def ends(**given: Any) -> PromptEnds:
    return PromptEnds(decode_stream, given.get("decode_next", print), given.get("text_of", str))


def request(ids: list[int] | None, *, resumable: bool = False) -> Any:
    return SimpleNamespace(prompt_token_ids=ids, resumable=resumable)


def begun(detokenizer: Any, ids: list[int]) -> Any:
    ends().begin(request(ids), SimpleNamespace(detokenizer=detokenizer))
    return detokenizer.stream


@pytest.mark.parametrize("cut", [1, 2])
def test_the_first_text_is_the_character_that_the_prompt_has_begun(cut: int) -> None:
    detokenizer = fast()
    stream = begun(detokenizer, [*b"price: ", *EURO[:cut]])
    assert isinstance(stream, FirstText)
    for token in EURO[cut:-1]:
        assert stream.step(detokenizer.tokenizer, token) is None
        assert detokenizer.stream is stream
    assert stream.step(detokenizer.tokenizer, EURO[-1]) == "€"
    # From here on it is vLLM's, with what has been so far.
    assert detokenizer.stream == {
        "ids": [*b"price: "[-(CONTEXT - cut) :], *EURO],
        "skip_special_tokens": True,
    }


@pytest.mark.parametrize(
    "ids", [[*b"price"], [*b"5 ", *EURO], [*EURO, SPECIAL], [SPECIAL], [EMPTY], [*EURO, EMPTY]]
)
def test_after_a_whole_character_nothing_is_changed(ids: list[int]) -> None:
    assert begun(fast(), ids) == "vLLM's"


def test_what_has_no_text_does_not_end_a_character() -> None:
    assert isinstance(begun(fast(), [EURO[0], SPECIAL]), FirstText)
    assert isinstance(begun(fast(), [EURO[0], EMPTY]), FirstText)
    # A special token that is shown does.
    assert begun(fast(skip=False), [EURO[0], SPECIAL]) == "vLLM's"


def test_a_token_that_is_none_counts_for_nothing() -> None:
    detokenizer = fast()
    stream = begun(detokenizer, [*b"x", *EURO[:2]])
    with pytest.raises(OverflowError):
        stream.step(detokenizer.tokenizer, 999)
    assert stream.step(detokenizer.tokenizer, EURO[2]) == "€"


def test_the_context_is_so_many_shown_tokens_and_all_bytes_before_them() -> None:
    plain: Any = Tokens()
    assert Vocabulary(plain).context([*b"0123456789"]) == [*b"23456789"]
    assert Vocabulary(plain).context([*b"01"]) == [*b"01"]
    shown = [*b"9", SPECIAL, *b"2345678"]
    assert Vocabulary(plain).context([*b"0", *shown]) == shown
    fallback: Any = Tokens(fallback=True)
    # Bytes that follow each other are decoded together.
    assert Vocabulary(fallback).context([*b"0123456789"]) == [*b"0123456789"]


def test_a_whole_text_of_byte_tokens_is_looked_at_as_a_whole() -> None:
    assert begun(fast(fallback=True), [*b"ab"]) == "vLLM's"
    assert isinstance(begun(fast(fallback=True), [*b"ab", EURO[0]]), FirstText)


@pytest.mark.parametrize(
    ("before", "text", "after"),
    [("a" + OPEN, "a€", "€"), ("", "ab", "ab"), ("ab", "ab", ""), ("ab", "ac", "c")],
)
def test_the_text_after_a_prompt_is_what_the_two_do_not_share(
    before: str, text: str, after: str
) -> None:
    assert text_after(before, text) == after


# --- Streamed prompts, and requests that are not looked at


class Streamed:
    """The state of a request with a streamed prompt."""

    def __init__(self) -> None:
        self.detokenizer = fast()
        self.updates: list[Any] = []

    def apply_streaming_update(self, update: Any) -> None:
        self.updates.append(update)


def test_later_elements_of_a_streamed_prompt_are_looked_at_when_they_begin() -> None:
    state: Any = Streamed()
    looking = ends()
    looking.begin(request([*b"a"], resumable=True), state)
    assert state.detokenizer.stream == "vLLM's"
    updates = [request(None), request([*b"b", EURO[0]])]
    state.apply_streaming_update(updates[0])
    assert state.detokenizer.stream == "vLLM's"
    # The request of an element is not looked at: vLLM begins it later.
    looking.begin(request([*b"b", EURO[0]], resumable=True), state)
    assert state.detokenizer.stream == "vLLM's"
    state.apply_streaming_update(updates[1])
    assert isinstance(state.detokenizer.stream, FirstText)
    assert state.updates == updates


def test_requests_without_a_prompt_or_a_text_are_left_alone() -> None:
    open_end = [EURO[0]]
    looking = ends()
    looking.begin(request(open_end), None)
    looking.begin(request(None), SimpleNamespace(detokenizer=fast()))
    looking.begin(request(open_end), SimpleNamespace(detokenizer=None))
    other: Any = SimpleNamespace(detokenizer=SimpleNamespace())
    looking.begin(request(open_end), other)
    assert vars(other.detokenizer) == {}


# --- The slow detokenizer


class Slow:
    """vLLM's detokenizer of tokenizers written in Python."""

    skip_special_tokens = True
    spaces_between_special_tokens = False
    prefix_offset = read_offset = 0

    def __init__(self, tokens: list[str]) -> None:
        self.tokenizer = self
        self.tokens = tokens

    def convert_ids_to_tokens(self, ids: list[int], skip_special_tokens: bool) -> list[str | None]:
        assert skip_special_tokens
        return [None if it == EMPTY else chr(it) for it in ids if it != SPECIAL]

    def decode_next(self, token: int) -> str:
        return "vLLM's"


def text_of(_detokenizer: object, tokens: list[str]) -> str:
    return b"".join(it.encode("latin-1") for it in tokens).decode(errors="replace")


def decode_next(**given: Any) -> tuple[list[str], str, int, int]:
    assert given["prefix_offset"] == given["read_offset"]
    made = [chr(it) for it in given["all_input_ids"]]
    text = text_of(None, [*given["prev_tokens"][given["prefix_offset"] :], *made])
    return made, "" if text.endswith(OPEN) else text, 70, 80


@pytest.mark.parametrize("is_first", [True, False])
def test_a_slow_detokenizer_begins_with_the_character_too(is_first: bool) -> None:
    detokenizer = Slow(["what vLLM put there"])
    looking = ends(decode_next=decode_next, text_of=text_of)
    state: Any = SimpleNamespace(detokenizer=detokenizer)
    looking._settle(state, [*b"ab", SPECIAL, EMPTY, *EURO[:2]], is_first=is_first)
    before = [] if is_first else ["what vLLM put there"]
    tail = ["a", "b", "", *map(chr, EURO[:2])]
    assert detokenizer.tokens == [*before, *tail]
    assert detokenizer.decode_next(EURO[2]) == "€"


def test_a_slow_detokenizer_waits_for_the_whole_character() -> None:
    detokenizer = Slow([])
    state: Any = SimpleNamespace(detokenizer=detokenizer)
    looking = ends(decode_next=decode_next, text_of=text_of)
    looking.begin(request([*b"ab", EURO[0]]), state)
    assert detokenizer.decode_next(EURO[1]) == ""
    assert (detokenizer.prefix_offset, detokenizer.read_offset) == (0, 0)
    assert detokenizer.decode_next(EURO[2]) == "€"
    assert (detokenizer.prefix_offset, detokenizer.read_offset) == (70, 80)
    assert detokenizer.tokens == [*"ab", *map(chr, EURO)]
    assert detokenizer.decode_next(5) == "vLLM's"


def test_a_slow_detokenizer_after_a_whole_character_is_left_alone() -> None:
    for ids in ([*b"ab"], [SPECIAL]):
        detokenizer = Slow(["t"])
        state: Any = SimpleNamespace(detokenizer=detokenizer)
        ends(text_of=text_of).begin(request(ids), state)
        assert (detokenizer.tokens, detokenizer.decode_next(1)) == (["t"], "vLLM's")
