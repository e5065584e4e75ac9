"""Which provider is meant by arguments and the environment."""

from __future__ import annotations

import pytest

from python_worker.exceptions import InvalidArgument
from python_worker.integrations.inference.selection import (
    PLACES,
    TYPES,
    Selection,
    Variables,
    select,
)


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [place.variable for place in PLACES.values()]
    for name in (*names, "INFERENCE_PROVIDER", "TRANSFORMERS_DEVICE"):
        monkeypatch.delenv(name, raising=False)


def selected(type: str | None = None, place: str | None = None, **variables: str) -> Selection:
    return select(type, place, Variables(variables))


@pytest.mark.parametrize(
    ("type", "place"),
    [
        ("vllm", "http://localhost:8100/v1"),
        ("ollama", "http://localhost:11434/v1"),
        ("llamacpp", ""),
        ("transformers", ""),
        ("async_llm", ""),
    ],
)
def test_a_type_has_a_default_place(type: str, place: str) -> None:
    assert selected(type) == Selection(type, place)
    assert selected(type.upper(), "") == Selection(type, place)


# Upstream: test_factory.py::test_get_provider_env_var_default_is_vllm (U-94)
def test_vllm_is_the_default() -> None:
    assert selected().type == "vllm"
    assert selected("").type == "vllm"


# Upstream: test_factory.py::test_get_provider_uses_env_var_default (U-93)
def test_a_variable_names_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFERENCE_PROVIDER", "Ollama")
    assert selected().type == "ollama"
    assert selected("llamacpp").type == "llamacpp"
    assert selected(INFERENCE_PROVIDER="transformers").type == "transformers"


@pytest.mark.parametrize("type", PLACES)
def test_a_place_is_the_argument_or_the_callers_variable_or_the_workers(
    type: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PLACES[type].variable, "workers")
    assert selected(type).place == "workers"
    assert selected(type, **{PLACES[type].variable: "callers"}).place == "callers"
    assert selected(type, "given", **{PLACES[type].variable: "callers"}).place == "given"


def test_only_transformers_has_a_device() -> None:
    assert selected("transformers", TRANSFORMERS_DEVICE="cuda:1").device == "cuda:1"
    assert selected("vllm", TRANSFORMERS_DEVICE="cuda:1").device is None


# Upstream: test_factory.py::test_get_provider_unknown_raises_value_error (U-95)
@pytest.mark.parametrize("type", ["openai", "vllm ", "v\u0000"])
def test_an_unknown_type_is_refused_with_all_that_there_are(type: str) -> None:
    with pytest.raises(InvalidArgument, match=r"type: there is no provider") as caught:
        selected(type)
    assert all(name in str(caught.value) for name in (repr(type), *TYPES))
    with pytest.raises(InvalidArgument, match=r"INFERENCE_PROVIDER: there is no provider"):
        selected(INFERENCE_PROVIDER=type)
