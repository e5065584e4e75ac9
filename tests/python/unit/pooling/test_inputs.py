"""Inputs and parameters, checked as the fake engine's ``encode`` checks them."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any

import pytest

from python_worker.exceptions import (
    InputFailed,
    InvalidArgument,
    Kind,
    LimitExceeded,
    Overloaded,
    Stopped,
    Unsupported,
)
from python_worker.pooling.inputs import (
    MAX_INPUTS,
    Checks,
    Options,
    check_content,
    check_count,
    each,
    is_conversation,
    raise_failed,
)
from python_worker.testing.fake_engine.engine import FakeAsyncLLM
from python_worker.testing.fake_vllm.types import PoolingParams


@pytest.fixture
def checks() -> Checks:
    """Those of an engine with a context of 64 tokens."""
    engine = SimpleNamespace(
        encode=FakeAsyncLLM.encode.__get__(object()),
        model_config=SimpleNamespace(max_model_len=64),
    )
    return Checks(engine)


def given(checks: Checks, count: int = 2, **values: Any) -> Any:
    options = Options(None, None, None, 0)
    return checks.parameters("embed", count, dataclasses.replace(options, **values))


def test_one_value_is_for_all_inputs(checks: Checks) -> None:
    parameters = given(checks, pooling_params={"dimensions": 3}, priority=4)
    assert [it.dimensions for it in parameters.params] == [3, 3]
    assert [it.task for it in parameters.params] == ["embed", "embed"]
    assert parameters.priorities == [4, 4]
    assert parameters.of(1)["lora_request"] == [None]


def test_a_list_has_a_value_for_each_input(checks: Checks) -> None:
    parameters = given(checks, pooling_params=[{"dimensions": 3}, None], priority=[1, 2])
    assert [it.dimensions for it in parameters.params] == [3, None]
    assert isinstance(parameters.params[1], PoolingParams)
    assert parameters.of(1)["priorities"] == [2]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"pooling_params": [{}] * 3}, "pooling_params: wants one value, or a list of as many"),
        ({"priority": [1]}, "priority: .*got 1"),
        ({"pooling_params": [{}, {"dimensions": "x"}]}, r"pooling_params\[1\].dimensions"),
        ({"pooling_params": {"task": "classify"}}, "pooling_params.task: this call's is 'embed'"),
        ({"pooling_params": 7}, "pooling_params"),
        ({"priority": "x"}, "priority"),
        ({"lora_request": 7}, "lora_request"),
        ({"tokenization_kwargs": {"pad_prompt_tokens": 65}}, "pad_prompt_tokens"),
        ({"tokenization_kwargs": {"truncation_side": "up"}}, "truncation_side"),
    ],
)
def test_wrong_parameters_are_refused(checks: Checks, values: Any, said: str) -> None:
    with pytest.raises(InvalidArgument, match=said):
        given(checks, **values)


def test_prompts_are_checked_as_encode_does(checks: Checks) -> None:
    assert checks.prompt("a", "inputs[0]", None) == "a"
    assert checks.prompt([1, 2], "inputs[0]", None) == [1, 2]
    for wrong in (7, None, ["a"], {"nothing": 1}):
        with pytest.raises(InvalidArgument, match=r"inputs\[3\]"):
            checks.prompt(wrong, "inputs[3]", None)


def test_a_rendered_prompt_is_refused() -> None:
    async def encode(prompt: dict[str, Any], pooling_params: Any, request_id: str) -> None: ...

    with pytest.raises(InvalidArgument, match="has been rendered"):
        Checks(SimpleNamespace(encode=encode)).prompt({"type": "token"}, "inputs[0]", None)


@pytest.mark.parametrize(
    "prompt",
    [
        {"prompt": "a cat", "multi_modal_data": {"image": b"png"}},
        {"prompt_token_ids": [1], "mm_processor_kwargs": {"max_pixels": 1}},
    ],
)
def test_a_prompt_with_an_image_is_refused(checks: Checks, prompt: dict[str, Any]) -> None:
    # The fake engine's prompts have no such fields.
    checks._checks = {**checks._checks, "prompt": lambda value, _path: value}
    with pytest.raises(Unsupported, match=r"inputs\[0\]: a batch takes texts only"):
        checks.prompt(prompt, "inputs[0]", None)


@pytest.mark.parametrize("kind", ["image_url", "image", "video_url", "input_audio", "image_embeds"])
def test_a_message_with_an_image_is_refused_by_its_part(kind: str) -> None:
    parts = [{"type": "text", "text": "a cat"}, {"type": kind, kind: {"url": "http://a/b"}}]
    with pytest.raises(Unsupported, match=r"messages\[0\]\.content\[1\]: a batch takes texts"):
        check_content(parts, "messages[0].content")


@pytest.mark.parametrize("content", ["a", None, [], ["a"], [{"type": "text", "text": "a"}], [{}]])
def test_messages_of_texts_are_taken(content: Any) -> None:
    check_content(content, "messages[0].content")


def test_a_long_text_that_is_to_be_truncated_is_refused(checks: Checks) -> None:
    with pytest.raises(LimitExceeded, match="truncated"):
        checks.prompt("x" * 2_000_000, "inputs[0]", {"truncate_prompt_tokens": 3})


def test_a_batch_has_inputs_and_not_too_many() -> None:
    check_count(["a"], "inputs")
    with pytest.raises(InvalidArgument, match="documents: wants at least one"):
        check_count([], "documents")
    with pytest.raises(LimitExceeded, match=str(MAX_INPUTS)):
        check_count([0] * (MAX_INPUTS + 1), "inputs")


def test_a_value_of_a_list_is_checked_by_its_place() -> None:
    def check(value: Any, path: str) -> str:
        return f"{path}={value}"

    assert each([1, 2], 2, "n", check) == ["n[0]=1", "n[1]=2"]
    assert each(1, 2, "n", check) == ["n=1", "n=1"]


def test_a_map_with_messages_is_a_conversation() -> None:
    assert is_conversation({"messages": []})
    for other in ({"prompt": "x"}, "messages", ["messages"], None):
        assert not is_conversation(other)


def test_a_failure_names_the_input_and_keeps_its_kind() -> None:
    for error, kind in (
        (ValueError("too long"), Kind.INVALID),
        (Overloaded("full"), Kind.OVERLOADED),
        (RuntimeError("odd"), Kind.PYTHON),
    ):
        with pytest.raises(InputFailed, match=rf"^inputs\[3\]: {error}$") as failed:
            raise_failed("inputs", 3, error)
        assert failed.value.kind == kind
        assert failed.value.__cause__ is error
        assert failed.value.details == {"argument": "inputs", "input": 3}


def test_a_message_that_names_the_input_is_kept() -> None:
    with pytest.raises(InputFailed, match=r"^inputs\[3\].x: wants an int$") as failed:
        raise_failed("inputs", 3, InvalidArgument("inputs[3].x: wants an int", wanted="int"))
    assert failed.value.details["wanted"] == "int"


def test_what_is_no_inputs_fault_stays_as_it_is() -> None:
    with pytest.raises(Stopped, match=r"^gone$"):
        raise_failed("inputs", 3, Stopped("gone"))
    first = InputFailed(Kind.INVALID, "inputs[0]: x")
    with pytest.raises(InputFailed, match=r"^inputs\[0\]: x$"):
        raise_failed("inputs", 3, first)
