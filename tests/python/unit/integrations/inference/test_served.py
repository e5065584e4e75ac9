"""What a client reaches of providers, through the dispatcher."""

from __future__ import annotations

import pytest

from python_worker.exceptions import InvalidArgument
from python_worker.integrations.inference.async_llm import AsyncLLMProvider
from python_worker.integrations.inference.provider import WorkerProvider
from python_worker.integrations.inference.served import METHODS, PROVIDERS, inference
from python_worker.integrations.inference.vllm_server import VLLMProvider
from tests.python.support.inference import Engine

ROWS = {row.name: row for row in inference()}


def test_the_factory_and_every_provider_have_a_row() -> None:
    assert set(ROWS) == {
        *("Inference", "VLLMProvider", "OllamaProvider", "LlamaCppProvider"),
        *("TransformersProvider", "AsyncLLMProvider"),
    }
    assert all(issubclass(cls, WorkerProvider) for cls in PROVIDERS)


@pytest.mark.parametrize("cls", PROVIDERS)
def test_the_arguments_and_results_of_every_provider_are_checked(cls: type) -> None:
    row = ROWS[cls.__name__]
    assert row.strict
    assert row.shown == METHODS
    assert row.released is not None


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("VLLMProvider", {"base_url": 5}),
        ("VLLMProvider", {"base_url": "no URL"}),
        ("OllamaProvider", {"url": "http://x:1/v1"}),
        ("LlamaCppProvider", {"model_path": b"x"}),
        ("LlamaCppProvider", {"n_ctx": -1}),
        ("LlamaCppProvider", {"n_ctx": 2**31}),
        ("LlamaCppProvider", {"n_ctx": 512.0}),
        ("LlamaCppProvider", {"n_gpu_layers": -2}),
        ("TransformersProvider", {"torch_dtype": "int8"}),
        ("TransformersProvider", {"device": 0}),
        ("AsyncLLMProvider", {}),
        ("AsyncLLMProvider", {"engine": "x"}),
    ],
)
async def test_a_wrong_argument_of_a_constructor_is_refused(
    name: str, arguments: dict[str, object]
) -> None:
    constructors = ROWS[name].constructors
    assert constructors is not None
    with pytest.raises(InvalidArgument):
        await constructors.construct("new", [], arguments)


def test_the_calls_of_a_provider_end_with_its_engine() -> None:
    engine = Engine()
    provider, row = AsyncLLMProvider.new(engine), ROWS["AsyncLLMProvider"]
    assert row.owner(provider) is engine
    assert row.death(provider) is None
    engine.errored, engine.dead_error = True, RuntimeError("killed")
    assert row.death(provider) is engine.dead_error


def test_other_providers_depend_on_no_engine() -> None:
    provider, row = VLLMProvider.new(), ROWS["VLLMProvider"]
    assert row.owner(provider) is provider
    assert row.death(provider) is None
