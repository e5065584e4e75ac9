"""What a request's answer says of it, in OpenTelemetry's names, and never a text."""

from __future__ import annotations

from types import SimpleNamespace as Answer

import pytest

from python_worker.dispatch.request_attributes import of_answer, of_request

INPUT = "gen_ai.usage.input_tokens"
OUTPUT = "gen_ai.usage.output_tokens"
REASONS = "gen_ai.response.finish_reasons"
MODEL = "gen_ai.response.model"


def completion(ids: list[int], reason: str | None = "stop") -> Answer:
    return Answer(token_ids=ids, finish_reason=reason, text="secret")


def output(*completions: Answer, **fields: object) -> Answer:
    return Answer(prompt="secret", prompt_token_ids=[1, 2, 3], outputs=[*completions], **fields)


def test_a_request_names_its_operation_provider_and_model() -> None:
    named = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "vllm"}
    assert of_request("chat", None) == named
    assert of_request("chat", "m") == {**named, "gen_ai.request.model": "m"}


def test_of_one_completion_the_statistics_have_the_tokens() -> None:
    last = output(completion([9]), metrics=Answer(num_generation_tokens=5))
    assert of_answer(last, whole=False) == {INPUT: 3, OUTPUT: 5, REASONS: ["stop"]}


def test_without_statistics_tokens_are_known_of_a_whole_output_only() -> None:
    item = output(completion([8, 9], None))
    assert of_answer(item, whole=False) == {INPUT: 3}
    assert of_answer(item) == {INPUT: 3, OUTPUT: 2}


def test_several_completions_are_counted_where_all_are_there() -> None:
    item = output(
        completion([7]), completion([8, 9], "length"), metrics=Answer(num_generation_tokens=5)
    )
    assert of_answer(item, single=False) == {INPUT: 3, OUTPUT: 3, REASONS: ["stop", "length"]}
    assert of_answer(item, whole=False, single=False) == {INPUT: 3}


def test_an_adapter_is_the_model_that_answers() -> None:
    item = output(lora_request=Answer(lora_name="pirate"))
    assert of_answer(item)[MODEL] == "pirate"


def test_a_chat_and_its_last_delta_have_their_usage() -> None:
    usage = Answer(prompt_tokens=4, completion_tokens=6)
    chat = Answer(model="m", usage=usage, choices=[Answer(finish_reason="stop", message="secret")])
    assert of_answer(chat) == {INPUT: 4, OUTPUT: 6, REASONS: ["stop"], MODEL: "m"}
    delta = Answer(usage=usage, finish_reason="length")
    assert of_answer(delta) == {INPUT: 4, OUTPUT: 6, REASONS: ["length"]}


def test_pooling_has_the_tokens_of_its_prompts() -> None:
    batch = Answer(model="m", usage=Answer(prompt_tokens=7, cached_tokens=0))
    assert of_answer(batch) == {INPUT: 7, MODEL: "m"}
    batch.model = ""
    assert of_answer(batch) == {INPUT: 7}
    assert of_answer(Answer(prompt_token_ids=[1, 2], outputs=Answer(data=[0.1]))) == {INPUT: 2}


def test_a_batch_of_an_llm_has_the_tokens_of_all() -> None:
    assert of_answer([output(completion([1])), output(completion([2, 3]))]) == {INPUT: 6, OUTPUT: 3}


@pytest.mark.parametrize("other", [None, 1, "secret", [], [1], {"usage": 1}, Answer(usage=None)])
def test_nothing_is_known_of_other_results(other: object) -> None:
    assert of_answer(other) == {}
