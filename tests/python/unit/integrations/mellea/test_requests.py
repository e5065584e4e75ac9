"""The requests of a backend on an engine without vLLM, one and many at once."""

from __future__ import annotations

import asyncio

import pytest

from python_worker.exceptions import InvalidArgument
from python_worker.integrations.mellea import library
from tests.python.support.mellea import Engine, Kind, backend_of
from tests.python.support.served import until

library.load("requests")

from python_worker.integrations.mellea.requests import Requests, request_name  # noqa: E402


class Format:
    """What mellea makes of a JSON schema."""

    @staticmethod
    def model_json_schema() -> dict[str, str]:
        return {"type": "string"}


def test_options_become_parameters_and_unknown_ones_are_left_out() -> None:
    merged = {"@@@max_new_tokens@@@": 9, "temperature": 0.5, "bogus": 1, "@@@stream@@@": True}
    assert Requests(Engine()).parameters(merged) == {"max_tokens": 9, "temperature": 0.5}


async def test_a_request_has_the_kind_of_its_outputs_and_its_format() -> None:
    engine = Engine("one")
    outputs = Requests(engine).outputs("a", {}, Format, "DELTA", "name")
    assert "".join([output.outputs[0].text async for output in outputs]) == "one"
    [(prompt, params)] = engine.asked
    assert (prompt, params.output_kind) == ("a", Kind.DELTA)
    assert params.structured_outputs == {"json": {"type": "string"}}


def test_two_formats_are_refused() -> None:
    merged = {"structured_outputs": {"regex": "a"}}
    with pytest.raises(InvalidArgument, match="there is a format already"):
        Requests(Engine()).outputs("a", merged, Format, "DELTA", "name")


def test_a_dead_engine_is_asked_nothing() -> None:
    engine = Engine()
    engine.errored = True
    with pytest.raises(RuntimeError, match="it is not dead"):
        Requests(engine).outputs("a", {}, None, "DELTA", "name")
    assert engine.asked == []


async def test_the_last_outputs_come_in_order_with_the_names_of_their_requests() -> None:
    engine = Engine("one", "two", "three")
    outputs = await Requests(engine).last_outputs(["a", "b", "c"], {}, None)
    assert [output.outputs[0].text for _, output in outputs] == ["one", "two", "three"]
    assert [prompt for prompt, _ in engine.asked] == ["a", "b", "c"]
    assert len({name for name, _ in outputs}) == 3


def test_names_of_requests_differ() -> None:
    assert request_name() != request_name()
    assert request_name().startswith("mellea-")


async def test_one_raw_text_that_fails_ends_all() -> None:
    engine = Engine(ValueError("refused"), None)
    with pytest.raises(ValueError, match="refused"):
        await (await backend_of(engine)).generate_from_raw(["a", "b", "c"])
    assert engine.running == 0


async def test_a_caller_of_raw_texts_that_leaves_ends_them() -> None:
    engine = Engine(None)
    backend = await backend_of(engine)
    task = asyncio.ensure_future(backend.generate_from_raw(["a", "b"]))
    await until(lambda: engine.running == 2)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert engine.running == 0
    assert len(engine.aborted) == 2
