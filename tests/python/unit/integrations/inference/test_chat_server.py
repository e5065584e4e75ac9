"""The answers of a chat server, odd ones too."""

from __future__ import annotations

from typing import Any

import pytest

from python_worker.exceptions import HttpStatus
from python_worker.integrations.inference.vllm_server import VLLMProvider
from tests.python.support.recorder import Answer, Recorder, completion

CHOICE: dict[str, Any] = {"message": {"content": "x"}, "finish_reason": "stop"}


async def answered(recorder: Recorder, body: object) -> Any:
    recorder.answer = Answer(body=body)
    provider = VLLMProvider(recorder.url)
    try:
        return await provider.generate("Hello", "asked for")
    finally:
        await provider.close()


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, ("a text", "served", 7, "stop")),
        ({"usage": None}, ("a text", "served", 0, "stop")),
        ({"usage": {}}, ("a text", "served", 0, "stop")),
        ({"usage": {"total_tokens": "7"}}, ("a text", "served", 0, "stop")),
        ({"usage": [7]}, ("a text", "served", 0, "stop")),
        ({"model": None}, ("a text", "asked for", 7, "stop")),
        ({"model": 5}, ("a text", "asked for", 7, "stop")),
        ({"choices": [{**CHOICE, "message": {"content": None}}]}, ("", "served", 7, "stop")),
        ({"choices": [{**CHOICE, "message": {"content": 5}}]}, ("", "served", 7, "stop")),
        ({"choices": [{**CHOICE, "message": {}}]}, ("", "served", 7, "stop")),
        ({"choices": [{**CHOICE, "finish_reason": None}]}, ("x", "served", 7, "stop")),
        ({"choices": [{**CHOICE, "finish_reason": "length"}]}, ("x", "served", 7, "length")),
        ({"choices": [{**CHOICE, "finish_reason": []}]}, ("x", "served", 7, "stop")),
        ({"choices": [CHOICE, CHOICE]}, ("x", "served", 7, "stop")),
    ],
)
async def test_what_a_server_does_not_say_has_a_default(
    recorder: Recorder, fields: dict[str, object], expected: tuple[object, ...]
) -> None:
    result = await answered(recorder, completion(**fields))
    assert (result.text, result.model, result.token_count, result.finish_reason) == expected


@pytest.mark.parametrize(
    "body",
    [
        *({}, {"choices": []}, {"choices": None}, {"choices": [1]}, {"choices": [{}]}),
        *({"choices": [{"message": None}]}, {"choices": [{"message": "x"}]}),
    ],
)
async def test_an_answer_that_is_no_completion_is_an_error(
    recorder: Recorder, body: object
) -> None:
    with pytest.raises(HttpStatus, match="no chat completion"):
        await answered(recorder, body)
