"""All guards together: their order, the name of the class, and what its methods show."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from python_worker.engines.guards import guarded, protocols
from python_worker.exceptions import Conflict, InvalidArgument
from python_worker.validation.type_hints import hints_of
from tests.python.support.engine_class import EngineClass, configuration

ENGINE: Any = guarded.compose(EngineClass, guarded.GUARDS)

OVERRIDDEN = sorted(
    {
        name
        for guard in guarded.GUARDS
        for name, member in vars(guard).items()
        if inspect.isfunction(member) and hasattr(EngineClass, name)
    }
)


def test_a_call_passes_the_guards_in_the_order_of_the_table() -> None:
    own = [ENGINE, *guarded.GUARDS]
    assert list(ENGINE.__mro__) == [*own, protocols.AsyncLLM, EngineClass, object]


def test_the_class_is_named_as_vllms() -> None:
    assert (ENGINE.__name__, ENGINE.__qualname__) == ("AsyncLLM", "AsyncLLM")
    foreign = guarded.guard_foreign(EngineClass)
    assert (foreign.__name__, foreign.__qualname__) == ("AsyncLLM", "AsyncLLM")


@pytest.mark.parametrize("name", OVERRIDDEN)
def test_a_method_shows_the_signature_annotations_and_docs_of_the_engine_class(name: str) -> None:
    shown, original = getattr(ENGINE, name), getattr(EngineClass, name)
    assert inspect.signature(shown) == inspect.signature(original)
    assert hints_of(shown) == hints_of(original)
    assert (shown.__doc__, shown.__qualname__) == (original.__doc__, original.__qualname__)
    assert inspect.iscoroutinefunction(shown) == inspect.iscoroutinefunction(original) or (
        name == "_add_request"
    )


def test_two_engine_classes_show_their_own_signatures() -> None:
    def add_request(self: object, request_id: str, other: int) -> None:
        """Other docs."""

    other: Any = guarded.compose(type("Other", (EngineClass,), {"add_request": add_request}), ())
    mixed: Any = guarded.compose(other, guarded.GUARDS)
    assert list(inspect.signature(mixed.add_request).parameters)[1:] == ["request_id", "other"]
    assert "prompt" in inspect.signature(ENGINE.add_request).parameters


def test_a_method_that_the_engine_class_lacks_is_not_made_up() -> None:
    foreign = guarded.guard_foreign(type("Own", (), {}))
    assert "add_request" not in vars(foreign)


async def test_what_refuses_stands_before_what_loads() -> None:
    """A prompt out of the vocabulary is refused before its adapter is loaded."""
    engine = ENGINE(configuration())
    with pytest.raises(InvalidArgument, match="out of vocabulary"):
        await engine.add_request("r", [200], None, lora_request=object())
    assert engine.calls == []


async def test_a_request_passes_all_guards() -> None:
    engine = ENGINE(configuration())
    queue = await engine.add_request("r", [1], None, priority=7)
    assert engine.calls == [("add_request", "r", [1], None, 7)]
    assert [it.request_id for it in engine.engine_core.sent] == [queue.request_id]


async def test_an_update_is_followed_and_its_calls_of_the_workers_pass() -> None:
    engine = ENGINE(configuration())
    await engine.start_weight_update()
    for refused in (
        engine.add_request("r", [1], None),
        engine.collective_rpc("list_loras"),
        engine.wake_up(),
    ):
        with pytest.raises(Conflict, match="finish_weight_update"):
            await refused
    await engine.finish_weight_update()
    assert [call[1] for call in engine.calls if call[0] == "collective_rpc"] == [
        "start_weight_update",
        "finish_weight_update",
    ]
    await engine.add_request("s", [1], None)
    assert len(engine.engine_core.sent) == 1
