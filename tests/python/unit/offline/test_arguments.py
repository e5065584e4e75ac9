"""The arguments of an LLM's constructors, and of methods that take what cannot be sent."""

from __future__ import annotations

from typing import Any

import pytest

from python_worker.exceptions import InvalidArgument
from python_worker.offline import arguments
from python_worker.offline.arguments import construct
from python_worker.testing.fake_engine.offline import FakeLLM
from python_worker.validation.renamed_parameters import GivenArguments
from tests.python.support.values import Record


def given(**kwargs: Any) -> GivenArguments:
    return GivenArguments([], [], kwargs)


def test_a_constructor_takes_its_own_keywords_and_the_fields_of_engine_args() -> None:
    llm = construct(FakeLLM, "new", ["fake"], {"seed": 3, "max_model_len": 64})
    assert (llm.model_config.model, llm.model_config.max_model_len) == ("fake", 64)


@pytest.mark.parametrize(
    ("keywords", "said"),
    [
        ({"bogus": 1}, r"new\(\) has no parameter 'bogus'"),
        ({"seed": "a"}, "seed: wants int"),
        ({"max_model_len": "long"}, "max_model_len: wants int"),
        ({"enable_log_requests": True}, "has no parameter 'enable_log_requests'"),
    ],
)
def test_a_wrong_keyword_is_named(keywords: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidArgument, match=said):
        construct(FakeLLM, "new", ["fake"], keywords)


def test_the_model_is_needed() -> None:
    with pytest.raises(InvalidArgument, match="model"):
        construct(FakeLLM, "new", [], {})


def test_engine_args_come_as_a_map() -> None:
    llm = construct(FakeLLM, "from_engine_args", [{"model": "fake", "max_model_len": 5}], {})
    assert llm.model_config.max_model_len == 5
    with pytest.raises(InvalidArgument, match="max_model_len"):
        construct(FakeLLM, "from_engine_args", [{"max_model_len": "5"}], {})


@pytest.mark.parametrize("name", ["SamplingParams", 5, ["RequestOutput", "x"]])
def test_another_output_type_is_refused(name: Any) -> None:
    if isinstance(name, list):
        pytest.importorskip("vllm", reason="the first name is looked up")
    with pytest.raises(InvalidArgument, match="wants one of RequestOutput, PoolingRequestOutput"):
        arguments.name_output_type(given(output_type=name))


def test_no_output_type_stays_none() -> None:
    nothing = given()
    arguments.name_output_type(nothing)
    assert nothing.kwargs == {}


def test_a_function_is_found_by_its_import_path() -> None:
    import os.path

    call = given(func="os.path:basename")
    arguments.import_function(call)
    assert call.get("func") is os.path.basename


@pytest.mark.parametrize("path", ["len", "os:nothing", "no_such_module:f", 5, "os:sep"])
def test_a_wrong_import_path_is_refused(path: Any) -> None:
    with pytest.raises(InvalidArgument, match="func"):
        arguments.import_function(given(func=path))


def test_the_prompts_of_a_beam_search_may_be_texts_and_ids() -> None:
    record = Record("TextPrompt", {"prompt": "b"})
    call = given(prompts=["a", [1, 2], record])
    arguments.spell_prompts_out(call)
    assert call.get("prompts") == [{"prompt": "a"}, {"prompt_token_ids": [1, 2]}, record]
