"""What a client reaches of LLaMA-Factory, through the dispatcher."""

from __future__ import annotations

import pytest

from python_worker.exceptions import InvalidArgument
from python_worker.integrations.llama_factory.served import FUNCTIONS, METHODS, llama_factory
from python_worker.integrations.llama_factory.vllm_engine import Response, VllmEngine

ROWS = {row.name: row for row in llama_factory()}


def test_there_are_the_library_and_its_two_classes() -> None:
    assert set(ROWS) == {"LlamaFactory", "VllmEngine", "ChatModel"}
    assert all(row.strict for row in ROWS.values())


def test_every_method_that_is_shown_exists() -> None:
    assert all(callable(getattr(VllmEngine, name)) for name in METHODS)
    assert all(callable(getattr(ROWS["LlamaFactory"].singleton, name)) for name in FUNCTIONS)


@pytest.mark.parametrize("name", ["VllmEngine", "ChatModel"])
@pytest.mark.parametrize(
    "arguments",
    [{}, {"engine": None}, {"args": 5, "engine": "x"}, {"model_args": {}, "args": {}, "engine": 1}],
)
async def test_a_wrong_argument_of_a_constructor_is_refused(
    name: str, arguments: dict[str, object]
) -> None:
    constructors = ROWS[name].constructors
    assert constructors is not None
    with pytest.raises(InvalidArgument):
        await constructors.construct("new", [], arguments)


def test_answers_are_sent_as_maps() -> None:
    response = Response("text", 1, 2, "stop")
    assert ROWS["VllmEngine"].documented("chat", [response]) == [
        {"response_text": "text", "response_length": 1, "prompt_length": 2, "finish_reason": "stop"}
    ]
