"""The fake errors have the names of vLLM's."""

from __future__ import annotations

from python_worker.testing.fake_vllm.errors import (
    EngineDeadError,
    EngineGenerateError,
    VLLMValidationError,
    make_error,
)


def test_errors_carry_the_names_of_vllms() -> None:
    names = {
        f"{cls.__module__}.{cls.__qualname__}"
        for cls in (EngineDeadError, EngineGenerateError, VLLMValidationError)
    }
    assert names == {
        "vllm.v1.engine.exceptions.EngineDeadError",
        "vllm.v1.engine.exceptions.EngineGenerateError",
        "vllm.exceptions.VLLMValidationError",
    }


def test_an_error_is_made_from_its_name_a_message_and_a_cause() -> None:
    error = make_error(["EngineGenerateError", "outer", ["ValueError", "inner"]])
    assert isinstance(error, EngineGenerateError)
    assert str(error) == "outer"
    assert repr(error.__cause__) == "ValueError('inner')"
