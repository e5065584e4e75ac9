"""One request of the engine, and how it ends."""

from __future__ import annotations

import asyncio

import pytest

from python_worker.exceptions import InvalidArgument
from python_worker.integrations.mellea import generation
from tests.python.support.mellea import Engine
from tests.python.support.served import until


class Text:
    """A text whose end may fail."""

    def __init__(self, error: Exception | None) -> None:
        self.error = error
        self.ended = False

    async def cancel_generation(self, error: Exception | None = None) -> None:
        """Ends it."""
        if self.error is not None:
            raise self.error
        self.ended = True


async def read(engine: Engine, texts: list[str]) -> None:
    outputs = generation.outputs(engine, "x", {}, "name")
    texts.extend([output.outputs[0].text async for output in outputs])


async def test_a_request_that_ends_by_itself_is_not_aborted() -> None:
    engine, texts = Engine("Hello"), list[str]()
    await generation.run(engine, lambda: read(engine, texts))
    assert (texts, engine.aborted) == (["Hello"], [])


async def test_a_request_whose_task_is_cancelled_is_aborted_by_the_engines_id() -> None:
    engine = Engine(None)
    task = asyncio.ensure_future(generation.run(engine, lambda: read(engine, [])))
    await until(lambda: engine.running)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert (engine.running, engine.aborted) == (0, ["name-0"])


@pytest.mark.parametrize(
    "parameters", [{"temperature": "hot"}, {"max_tokens": 1.5}, {"stop": [5]}, {"unknown": 1}]
)
def test_a_wrong_parameter_reaches_no_engine(parameters: dict[str, object]) -> None:
    engine = Engine()
    with pytest.raises(InvalidArgument, match=next(iter(parameters))):
        generation.outputs(engine, "x", parameters, "name")
    assert engine.asked == []


async def test_a_text_that_fails_to_end_does_not_keep_others_from_ending() -> None:
    texts = [Text(ValueError("x")), Text(None)]
    await generation.end(texts)
    assert [text.ended for text in texts] == [False, True]
