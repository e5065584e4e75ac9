"""One choice of a chat while its outputs come, with a parser that says what a test wants."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from python_worker import codec
from python_worker.chat import parsing, vllm_parts
from python_worker.chat.answers import TokenLogprob, ToolCallDelta
from python_worker.chat.parsing import Choice, ParserFailed, RequestFailed, json_object, json_value
from python_worker.codec.depth import MAX_DEPTH
from python_worker.exceptions import Kind


class NamedTool:
    """In place of vLLM's class of a tool choice that names a function."""


@pytest.fixture(autouse=True)
def parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vllm_parts, "make_tool_call_id", lambda: "made")


class Parser:
    """Takes the letter r for reasoning, t for a tool call and the rest for content."""

    reasoning_parser = None
    tool_parser = None

    def parse_delta(self, text: str, *_args: Any, finished: bool) -> Any:
        if text == "!":
            raise ValueError("no such thing")
        calls = [
            SimpleNamespace(index=index, id="c", function=SimpleNamespace(name="f", arguments="{}"))
            for index in range(text.count("t"))
        ]
        content = text.replace("r", "").replace("t", "") or None
        reasoning = "r" * text.count("r") or None
        if not (content or reasoning or calls):
            return None
        return SimpleNamespace(content=content, reasoning=reasoning, tool_calls=calls)

    def set_prompt_token_ids(self, _ids: object) -> None: ...

    def parse(self, text: str, _request: object, **_keywords: object) -> Any:
        delta = self.parse_delta(text, finished=True)
        calls = [
            SimpleNamespace(id=None, name="f", arguments=call.function.arguments)
            for call in delta.tool_calls
        ]
        return delta.reasoning, delta.content, calls

    def count_reasoning_tokens(self, ids: Any) -> int:
        return sum(token_id == 0 for token_id in ids)


def request(**fields: Any) -> Any:
    defaults = {
        "include_reasoning": True,
        "tool_choice": "auto",
        "tools": ["f"],
        "parallel_tool_calls": True,
        "logprobs": False,
        "top_logprobs": 0,
        "return_token_ids": False,
        "response_format": None,
    }
    return SimpleNamespace(**{**defaults, **fields})


def output(text: str, ids: list[int], finish: str | None = None, logprobs: Any = None) -> Any:
    return SimpleNamespace(
        text=text, token_ids=ids, finish_reason=finish, stop_reason=None, logprobs=logprobs
    )


def deltas(choice: Choice, *outputs: Any) -> list[Any]:
    return [delta for it in outputs if (delta := choice.delta("id", it, [])) is not None]


def test_the_role_comes_with_the_first_delta_only() -> None:
    choice = Choice(request(), 0, None, "assistant")
    found = deltas(choice, output("a", [1]), output("b", [2], "stop"))
    assert [(it.role, it.content, it.finish_reason) for it in found] == [
        ("assistant", "a", None),
        (None, "b", "stop"),
    ]


def test_an_output_before_the_first_token_is_no_delta() -> None:
    choice = Choice(request(), 0, None, "assistant")
    assert deltas(choice, output("", [])) == []
    assert choice.tokens == 0


def test_a_token_that_gives_no_text_yet_is_no_delta_but_counts() -> None:
    choice = Choice(request(), 0, Parser(), "assistant")
    assert deltas(choice, output("", [1])) == []
    assert choice.tokens == 1


def test_a_token_without_text_is_a_delta_where_its_id_was_asked_for() -> None:
    choice = Choice(request(return_token_ids=True), 0, Parser(), "assistant")
    assert [it.token_ids for it in deltas(choice, output("", [1]))] == [[1]]


def test_nothing_follows_the_last_delta() -> None:
    choice = Choice(request(), 0, None, "assistant")
    assert len(deltas(choice, output("a", [1], "stop"), output("b", [2], "stop"))) == 1
    assert choice.tokens == 1


def test_reasoning_content_and_tool_calls_are_told_apart() -> None:
    choice = Choice(request(), 0, Parser(), "assistant")
    found = deltas(choice, output("r", [0]), output("a", [1]), output("t", [2], "stop"))
    assert [it.reasoning for it in found] == ["r", None, None]
    assert [it.content for it in found] == [None, "a", None]
    assert found[2].tool_calls == [ToolCallDelta(0, "c", "f", "{}")]
    assert found[2].finish_reason == "tool_calls"
    assert choice.reasoning_tokens == 1


def test_a_choice_that_names_a_function_ends_with_stop() -> None:
    choice = Choice(request(tool_choice=NamedTool()), 0, Parser(), "assistant")
    assert deltas(choice, output("t", [1], "stop"))[0].finish_reason == "stop"
    whole = Choice(request(tool_choice=NamedTool()), 0, Parser(), "assistant")
    assert whole.whole(output("t", [1], "stop"), []).finish_reason == "stop"


def test_reasoning_that_is_not_wanted_is_hidden_with_all_that_would_show_it() -> None:
    hidden = request(include_reasoning=False, return_token_ids=True, logprobs=True)
    choice = Choice(hidden, 0, Parser(), "assistant")
    [delta] = deltas(choice, output("ra", [0, 1], "stop"))
    assert (delta.reasoning, delta.content) == (None, "a")
    assert (delta.token_ids, delta.logprobs) == (None, None)
    whole = Choice(hidden, 0, Parser(), "assistant").whole(output("ra", [0, 1], "stop"), [])
    assert (whole.message.reasoning, whole.token_ids, whole.logprobs) == (None, None, None)


def test_without_parallel_calls_the_first_remains() -> None:
    single = request(parallel_tool_calls=False)
    [delta] = deltas(Choice(single, 0, Parser(), "assistant"), output("tt", [1], "stop"))
    assert [call.index for call in delta.tool_calls] == [0]
    whole = Choice(single, 0, Parser(), "assistant").whole(output("tt", [1], "stop"), [])
    assert len(whole.message.tool_calls) == 1


def test_a_whole_answer_has_parsed_arguments_and_made_ids() -> None:
    choice = Choice(request(), 3, Parser(), "assistant")
    answer = choice.whole(output("rat", [0, 1, 2], "length"), [])
    assert answer.index == 3
    assert (answer.message.reasoning, answer.message.content) == ("r", "a")
    [call] = answer.message.tool_calls
    assert (call.id, call.name, call.arguments, call.arguments_json) == ("made", "f", {}, "{}")
    assert answer.finish_reason == "tool_calls"
    assert (choice.tokens, choice.reasoning_tokens) == (3, 1)


@pytest.mark.parametrize("kind", ["json_object", "json_schema"])
def test_a_content_that_was_asked_for_as_json_is_parsed(kind: str) -> None:
    wanted = request(response_format=SimpleNamespace(type=kind))
    whole = Choice(wanted, 0, None, "assistant").whole
    assert whole(output('{"a": 1}', [1], "stop"), []).message.parsed == {"a": 1}
    assert whole(output('{"a": ', [1], "length"), []).message.parsed is None


def test_a_parser_that_raises_is_named_in_the_error() -> None:
    choice = Choice(request(), 2, Parser(), "assistant")
    with pytest.raises(
        ParserFailed, match=r"vLLM's Parser could not read .* no such thing"
    ) as error:
        choice.delta("id", output("!", [1]), [])
    assert error.value.details == {"choice": 2}
    with pytest.raises(ParserFailed):
        Choice(request(), 2, Parser(), "assistant").whole(output("!", [1], "stop"), [])


def test_a_request_that_the_engine_failed_is_an_error_of_the_engine() -> None:
    failed = output("a", [1], "error")
    with pytest.raises(RequestFailed, match="send it again") as error:
        deltas(Choice(request(), 1, None, "assistant"), failed)
    assert (error.value.kind, error.value.details) == (Kind.ENGINE_ERROR, {"choice": 1})
    with pytest.raises(RequestFailed):
        Choice(request(), 1, None, "assistant").whole(failed, [])


def test_each_token_has_its_probability_and_the_likeliest_others() -> None:
    def logprob(value: float, text: str) -> Any:
        return SimpleNamespace(logprob=value, decoded_token=text)

    position = {5: logprob(-0.5, "x"), 7: logprob(float("-inf"), "y"), 6: logprob(-0.1, "z")}
    wanted = request(logprobs=True, top_logprobs=2)
    choice = Choice(wanted, 0, None, "assistant")
    [delta] = deltas(choice, output("y", [7], "stop", [position]))
    assert delta.logprobs == [
        TokenLogprob("y", 7, -9999.0, [TokenLogprob("z", 6, -0.1), TokenLogprob("x", 5, -0.5)])
    ]


@pytest.mark.parametrize("text", ["", "{", "nope", '{"a": 1} b', "[" * 100_000, "1" * 5000])
def test_what_is_no_json_has_no_value(text: str) -> None:
    assert json_value(text) is None


@pytest.mark.parametrize("depth", [1, 50, MAX_DEPTH - 11, MAX_DEPTH - 10, MAX_DEPTH, 600, 900])
def test_a_value_of_json_can_be_sent_or_is_none(depth: int) -> None:
    value = json_value("[" * depth + "]" * depth)
    assert (value is None) == (depth >= MAX_DEPTH - 10)
    if value is not None:
        codec.encode({"choices": [{"message": {"parsed": value}}]})


def test_only_an_object_is_the_arguments_of_a_call() -> None:
    assert json_object('{"a": [1]}') == {"a": [1]}
    assert json_object("[1]") is None
    assert parsing.json_value("[1]") == [1]
