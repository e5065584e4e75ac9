"""The fake LLM makes what the fake engine makes, and has vLLM's parameters."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from python_worker.gen import manifest
from python_worker.testing.fake_engine.offline import FakeLLM
from python_worker.testing.fake_vllm.errors import VLLMValidationError
from python_worker.testing.fake_vllm.types import EngineArgs, SamplingParams

MEMBERS = {it["name"]: it for it in manifest.load()["llm"]["members"]}

#: Of the fake one alone.
FOR_TESTS = {"aborted", "thread_name"}


@pytest.fixture
def llm() -> FakeLLM:
    return FakeLLM("fake")


def params(**fake: Any) -> SamplingParams:
    return SamplingParams(max_tokens=3, extra_args={"fake": fake} if fake else None)


def test_each_method_has_parameters_of_vllms() -> None:
    own = {name for name in vars(FakeLLM) if not name.startswith("_")} - FOR_TESTS
    assert own <= set(MEMBERS)
    for name in own - {"from_engine_args"}:
        mine = list(inspect.signature(getattr(FakeLLM, name)).parameters)[1:]
        theirs = [it["name"] for it in MEMBERS[name]["parameters"]]
        assert mine == [it for it in theirs if it in mine], name


def test_a_batch_returns_final_outputs_in_order(llm: FakeLLM) -> None:
    outputs = llm.generate(["a", "b"], [params(tokens=3), params(tokens=1)])
    assert [it.prompt for it in outputs] == ["a", "b"]
    assert [len(it.outputs[0].token_ids) for it in outputs] == [3, 1]
    assert all(it.finished for it in outputs)


def test_several_completions_come_together(llm: FakeLLM) -> None:
    (output,) = llm.generate("a", SamplingParams(n=3, max_tokens=2))
    assert [it.index for it in output.outputs] == [0, 1, 2]


def test_enqueued_requests_wait(llm: FakeLLM) -> None:
    assert len(llm.enqueue(["a", "b"], params())) == 2
    assert len(llm.enqueue_chat([{"role": "user", "content": "c"}], params())) == 1
    assert [it.prompt for it in llm.wait_for_completion()] == ["a", "b", "c"]
    assert llm.wait_for_completion() == []


def test_parameters_are_paired(llm: FakeLLM) -> None:
    with pytest.raises(VLLMValidationError, match="must be the same"):
        llm.generate(["a", "b"], [params()])


def test_it_is_built_of_engine_args_and_fails_as_told() -> None:
    assert FakeLLM.from_engine_args(EngineArgs(max_model_len=9)).model_config.max_model_len == 9
    with pytest.raises(ValueError, match="no"):
        FakeLLM("fake", additional_config={"fake": {"build_error": ["ValueError", "no"]}})


def test_it_pools(llm: FakeLLM) -> None:
    (output,) = llm.encode("a", pooling_task="embed")
    assert len(output.outputs.data) == 8


@pytest.mark.parametrize(
    ("fake", "said"), [({"fail": ["ValueError", "no"]}, "^no$"), ({"die": True}, "EngineCore")]
)
def test_a_step_fails_as_told(llm: FakeLLM, fake: dict[str, Any], said: str) -> None:
    with pytest.raises(Exception, match=said):
        llm.generate("a", params(**fake))
