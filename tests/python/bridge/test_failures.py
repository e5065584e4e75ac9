"""Exceptions of an engine's methods as failures: kind, type, message, cause, traceback."""

from __future__ import annotations

import pytest

from python_worker.testing.fake_engine.engine import FakeAsyncLLM
from python_worker.testing.fake_engine.utilities import Utilities
from tests.python.support.client import Client, Failed, sampling
from tests.python.support.values import Ref

#: Methods that the fake engine does not let be injected into: they are under others, or at the end.
UNSCRIPTED = ("add_request", "get_num_unfinished_requests", "shutdown")

METHODS = sorted(
    name
    for owner in (FakeAsyncLLM, Utilities)
    for name, member in vars(owner).items()
    if callable(member) and not name.startswith("_") and name not in UNSCRIPTED
)

ARGUMENTS: dict[str, list[object]] = {
    "abort": ["r"],
    "add_lora": [{"lora_name": "a", "lora_int_id": 1, "lora_path": "/a"}],
    "collective_rpc": ["check_health"],
    "encode": ["hi", {"task": "embed"}, "r"],
    "generate": ["hi", sampling(), "r"],
    "pin_lora": [1],
    "remove_lora": [1],
}


def test_the_methods_are_all_there() -> None:
    assert {"generate", "encode", "abort", "sleep", "check_health", "get_tokenizer"} <= set(METHODS)


@pytest.mark.parametrize("method", METHODS)
async def test_an_exception_in_any_method_is_a_failure(
    method: str, client: Client, engine: Ref
) -> None:
    await client.call(engine, "inject", method, {"error": ["Untold", "went wrong", ["KeyError"]]})
    arguments = ARGUMENTS.get(method, [])
    call = client.items if method in ("generate", "encode") else client.call
    with pytest.raises(Failed, match="went wrong") as caught:
        await call(engine, method, *arguments)
    failure = caught.value.failure
    assert caught.value.kind == "PYTHON"
    assert failure.type == "python_worker.testing.fake_vllm.errors.Untold"
    assert "fake_engine/" in failure.traceback
    assert [cause.type for cause in caught.value.causes()] == ["builtins.KeyError"]
    await client.call(engine, "inject", method, None)
    assert await client.call(engine, "echo", 1) == 1


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ("VLLMValidationError", "INVALID"),
        ("ValueError", "INVALID"),
        ("TypeError", "INVALID"),
        ("VLLMNotFoundError", "NOT_FOUND"),
        ("FileNotFoundError", "NOT_FOUND"),
        ("NotImplementedError", "UNSUPPORTED"),
        ("QueueOverflowError", "OVERLOADED"),
        ("TimeoutError", "TIMEOUT"),
        ("EngineGenerateError", "ENGINE_ERROR"),
        ("VLLMServerError", "ENGINE_ERROR"),
        ("ZeroDivisionError", "PYTHON"),
    ],
)
async def test_each_exception_has_its_kind(
    error: str, kind: str, client: Client, engine: Ref
) -> None:
    with pytest.raises(Failed) as caught:
        await client.call(engine, "raise_", error, "a message")
    assert caught.value.kind == kind
    assert caught.value.failure.message == "a message"
    assert caught.value.failure.retryable == (kind == "OVERLOADED")


async def test_the_causes_are_followed(client: Client, engine: Ref) -> None:
    cause = ["ValueError", "second", ["KeyError", "third"]]
    with pytest.raises(Failed) as caught:
        await client.call(engine, "raise_", "RuntimeError", "first", cause)
    types = [cause.type for cause in caught.value.causes()]
    assert types == ["builtins.ValueError", "builtins.KeyError"]


async def test_an_exception_without_a_message_speaks_through_its_cause(
    client: Client, engine: Ref
) -> None:
    with pytest.raises(Failed) as caught:
        await client.call(engine, "raise_", "EngineGenerateError", "", ["OSError", "disk full"])
    assert "disk full" in caught.value.failure.message
