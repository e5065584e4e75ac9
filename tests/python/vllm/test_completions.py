"""``chat`` on a real engine, as any client of the worker has it.

What it answers is compared with vLLM's own server in ``chat_test.exs``.
"""

from __future__ import annotations

import pytest

from python_worker.testing.models.scripted_model import ScriptedModel
from tests.python.support.client import Client, Failed
from tests.python.support.values import Ref

MESSAGES = [{"role": "user", "content": "count"}]
FIELDS = {"messages": MESSAGES, "temperature": 0.0, "max_tokens": 6, "return_prompt_text": True}


async def test_an_answer_is_a_record_of_its_fields(
    vllm_client: Client, vllm_engine: Ref, model: ScriptedModel
) -> None:
    answer = await vllm_client.call(vllm_engine, "chat", FIELDS)
    assert answer.name == "ChatCompletion"
    [choice] = answer.choices
    assert choice.message.role == "assistant"
    assert choice.message.content == model.expected_text(answer.prompt, 6)
    assert (choice.finish_reason, answer.usage.completion_tokens) == ("length", 6)


async def test_deltas_are_records_and_the_last_has_the_usage(
    vllm_client: Client, vllm_engine: Ref, model: ScriptedModel
) -> None:
    whole = await vllm_client.call(vllm_engine, "chat", FIELDS)
    deltas = [delta async for delta in vllm_client.stream(vllm_engine, "stream_chat", FIELDS)]
    assert {delta.name for delta in deltas} == {"ChatDelta"}
    text = "".join(delta.content or "" for delta in deltas)
    assert text == whole.choices[0].message.content
    assert [delta.usage is None for delta in deltas] == [True] * (len(deltas) - 1) + [False]


async def test_a_refused_request_reaches_no_engine(vllm_client: Client, vllm_engine: Ref) -> None:
    fields = {**FIELDS, "temprature": 1}
    with pytest.raises(Failed, match=r"INVALID.*temprature: there is no such field"):
        await vllm_client.call(vllm_engine, "chat", fields)
    with pytest.raises(Failed, match=r"INVALID.*temprature: there is no such field"):
        [_ async for _ in vllm_client.stream(vllm_engine, "stream_chat", fields)]


@pytest.mark.parametrize("tool_parser", [None, "hermes"])
async def test_too_many_choices_are_refused_before_anything_is_made_for_each(
    vllm_client: Client, vllm_engine: Ref, tool_parser: str | None
) -> None:
    fields = {**FIELDS, "n": 10**12}
    with pytest.raises(Failed, match=r"INVALID.*n must be"):
        await vllm_client.call(vllm_engine, "chat", fields, tool_parser=tool_parser)
