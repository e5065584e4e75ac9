"""Requests are made of prompts in threads, in their order, and long ones beside the others."""

from __future__ import annotations

import functools
import threading
from collections.abc import AsyncGenerator, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from python_worker.engines.guards import preprocessing, vllm_parts
from python_worker.engines.guards.guarded import compose
from python_worker.engines.guards.preprocessing import (
    LONG_TEXT,
    MAX_TRUNCATED_CHARS,
    VERY_LONG_TEXT,
    PreparedPrompt,
    PreprocessingGuard,
    length_of,
)
from python_worker.exceptions import LimitExceeded
from tests.python.support.engine_class import EngineClass

PARAMS = SimpleNamespace(structured_outputs=None, bad_words=[])


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setattr(vllm_parts, "is_for_threads", lambda tokenizer: tokenizer == "tokenizer")
    monkeypatch.setattr(vllm_parts, "one_token", lambda: {"prompt_token_ids": [0]})
    monkeypatch.setattr(vllm_parts, "text_of_prompt", lambda _config, prompt: f"text of {prompt}")
    engine = compose(EngineClass, (PreprocessingGuard,))()
    yield engine
    engine.shutdown()


async def elements(*prompts: Any) -> AsyncGenerator[Any, None]:
    for prompt in prompts:
        yield SimpleNamespace(prompt=prompt, sampling_params=None)


def threads_of(engine: Any) -> list[str]:
    return [thread.rsplit("_", 1)[0] for _prompt, thread in engine.input_processor.prepared]


@pytest.mark.parametrize(
    ("prompt", "thread"),
    [
        ("short", "asyncio"),
        ("x" * (LONG_TEXT - 1), "asyncio"),
        ("x" * LONG_TEXT, "long"),
        ({"prompt_token_ids": [1]}, "asyncio"),
        ("x" * VERY_LONG_TEXT, "very-long"),
    ],
    ids=["short", "nearly long", "long", "ids", "very long"],
)
async def test_a_long_prompt_has_a_thread_of_its_own(prompt: Any, thread: str, engine: Any) -> None:
    made = await engine.input_processor.process_inputs_async("r", prompt, PARAMS)
    assert made.request_id == "r"
    assert threads_of(engine) == [thread]


async def test_a_tokenizer_that_is_not_for_threads_has_all_prompts_in_turn(engine: Any) -> None:
    engine.tokenizer = "another"
    await engine.input_processor.process_inputs_async("r", "x" * LONG_TEXT, PARAMS)
    assert threads_of(engine) == ["asyncio"]


@pytest.mark.parametrize(
    ("prompt", "params", "length"),
    [
        ("abc", PARAMS, 3),
        ({"prompt": "abc"}, PARAMS, 3),
        ({"encoder_prompt": "abc", "decoder_prompt": {"prompt": "de"}}, PARAMS, 5),
        ({"prompt": "abc", "multi_modal_data": {"image": 1}}, PARAMS, 0),
        ([1, 2, 3], PARAMS, 0),
        ("abc", SimpleNamespace(structured_outputs=None, bad_words=["de", "f"]), 6),
        ("a", SimpleNamespace(structured_outputs=SimpleNamespace(regex="bc"), bad_words=None), 3),
        (
            "",
            SimpleNamespace(structured_outputs=SimpleNamespace(json={}), bad_words=None),
            LONG_TEXT,
        ),
    ],
)
def test_the_length_is_that_of_what_is_tokenized_or_compiled(
    prompt: Any, params: Any, length: int
) -> None:
    assert length_of(prompt, params) == length


async def test_elements_are_prepared_in_threads_and_in_their_order(engine: Any) -> None:
    stream = elements("one", "two", "three")
    queue = await engine._add_streaming_input_request("r", stream, PARAMS)
    *given, last = queue.elements
    assert ["".join(map(chr, it.prompt_token_ids)) for it in given] == ["one", "two", "three"]
    assert all(it.resumable and it.request_id == "inner" for it in given)
    assert (last.prompt_token_ids, last.request_id) == ([0], "r")
    assert set(threads_of(engine)) == {"asyncio"}
    assert threading.current_thread().name not in threads_of(engine)


async def test_an_element_that_is_wrong_ends_its_stream_as_it_would_on_the_loop(
    engine: Any,
) -> None:
    queue = await engine._add_streaming_input_request("r", elements("one", {"wrong": 1}), PARAMS)
    assert str(queue.error) == "a wrong prompt"
    assert len(queue.elements) == 2


async def test_wrong_parameters_are_refused_before_anything_is_prepared(engine: Any) -> None:
    with pytest.raises(ValueError, match="wrong parameters"):
        await engine._add_streaming_input_request("r", elements("one"), "wrong")
    assert engine.input_processor.prepared == []


async def test_the_clients_stream_is_closed_with_its_reader(engine: Any) -> None:
    stream = elements("one", "two")
    prepare = functools.partial(engine.input_processor.process_inputs_async, "r")
    prepared = engine._prepared(stream, PARAMS, prepare)
    assert await anext(prepared)
    await prepared.aclose()
    assert [it async for it in stream] == []


def test_a_prepared_prompt_is_a_prompt_with_its_text() -> None:
    request: Any = SimpleNamespace(prompt_token_ids=[1, 2])
    assert PreparedPrompt(request, "text") == {"prompt": "text", "prompt_token_ids": [1, 2]}


@pytest.mark.parametrize(
    ("tokenization", "refused"),
    [
        (None, False),
        ({"add_special_tokens": False}, False),
        ({"truncate_prompt_tokens": 16}, True),
        ({"truncation": True}, True),
        ({"truncate_prompt_tokens": 16, "truncation_side": "left"}, False),
    ],
)
def test_a_long_text_that_is_cut_after_it_is_tokenized_is_refused(
    tokenization: Any, refused: bool
) -> None:
    preprocessing.check_truncation("x" * MAX_TRUNCATED_CHARS, tokenization)
    too_long = "x" * (MAX_TRUNCATED_CHARS + 1)
    if not refused:
        preprocessing.check_truncation(too_long, tokenization)
        return
    with pytest.raises(LimitExceeded, match="truncation_side"):
        preprocessing.check_truncation(too_long, tokenization)


def test_the_characters_of_a_value_are_those_of_its_texts() -> None:
    deep: object = "xyz"
    for _ in range(5000):
        deep = [deep]
    value = {"a key": ["bc", ("d", 5, None), {"e": "fg"}], "deep": deep}
    assert preprocessing.characters_in(value) == len("bc" + "d" + "fg" + "xyz")
    assert preprocessing.characters_in(5) == 0
