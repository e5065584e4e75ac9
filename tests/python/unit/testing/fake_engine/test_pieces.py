"""What scripted answers of chats are made of."""

from __future__ import annotations

import json

from python_worker.testing.fake_engine.pieces import Piece, said, words
from python_worker.testing.fake_engine.script import Behaviour


def raw(tokens: tuple[str | Piece, ...] | None) -> str:
    return "".join(it.raw if isinstance(it, Piece) else it for it in tokens or ())


def test_texts_are_tokens_as_they_are() -> None:
    assert said({"say": ["a", " b"]}) == ("a", " b")


def test_a_behaviour_without_an_answer_says_nothing_of_its_own() -> None:
    assert said({"delay": 1.0}) is None
    assert said({"say": None}) is None
    assert said({"say": []}) == ()


def test_reasoning_comes_first_and_is_marked() -> None:
    tokens = said({"say": ["b"], "reasoning": ["x", "y"]})
    assert raw(tokens) == "<think>xy</think>b"
    assert [it.text for it in tokens or () if isinstance(it, Piece)] == ["x", "y"]


def test_calls_come_last_and_are_written_as_json() -> None:
    tokens = said({"say": ["b"], "tool_calls": [["f", {"city": "São Paulo"}], ["g", "{"]]})
    first, second = raw(tokens).removeprefix("b").removesuffix("</tool_call>").split("</tool_call>")
    call = json.loads(first.removeprefix("<tool_call>"))
    assert call == {"name": "f", "arguments": {"city": "São Paulo"}}
    assert second == '<tool_call>{"name": "g", "arguments": {}'
    kinds = [it.kind for it in tokens or () if isinstance(it, Piece)]
    assert kinds == ["call", "arguments", "arguments", "arguments", "call", "arguments"]


def test_a_value_is_json_word_by_word_and_none_is_one() -> None:
    assert said({"json": {"a": [1, None]}}) == ('{"a":', " [1,", " null]}")
    assert said({"json": None}) == ("null",)


def test_no_character_is_lost_between_words() -> None:
    text = "  It rains,\nagain.\n\n"
    assert words(text) == ["  It", " rains,", "\nagain.", "\n\n"]


def test_none_in_place_of_a_count_is_after_all_that_is_said() -> None:
    call = [["f", {"city": "Rome"}]]
    behaviour = Behaviour.of({"say": ["a"], "tool_calls": call, "hang": True, "after": None})
    assert behaviour.after == len(behaviour.say or ()) == 4
