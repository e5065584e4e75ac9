"""Objects that are made once for all that declare the same name."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from python_worker.codec.types import Record
from python_worker.dispatch.declared_objects import (
    MAX_NAME,
    DeclaredObjects,
    differences,
    fields_of,
    named,
)
from python_worker.dispatch.references import References
from python_worker.dispatch.served_classes import ServedClass
from python_worker.exceptions import InvalidArgument


class Engine:
    """May be dead."""

    dead: BaseException | None = None


SERVED = ServedClass(name="Engine", shutdown="stop", stop=lambda _: None, death=lambda it: it.dead)


class Making:
    """Makes engines when it is told to, and counts what is asked of it."""

    def __init__(self) -> None:
        self.references = References()
        self.declared = DeclaredObjects(self.references, end=self._end, keep=self._keep)
        self.go = asyncio.Event()
        self.fails: list[Exception] = []
        self.made: list[Engine] = []
        self.events: list[str] = []

    async def make(self) -> Engine:
        self.events.append("make")
        await self.go.wait()
        if self.fails:
            raise self.fails.pop()
        self.made.append(Engine())
        return self.made[-1]

    async def _keep(self, made: object, served: ServedClass) -> None:
        self.references.keep(made, served)

    async def _end(self, target: object, _served: ServedClass) -> None:
        self.events.append("end")
        self.references.unpin(target)

    def find(self, name: str = "it", arguments: Any = ()) -> asyncio.Task[object]:
        return asyncio.ensure_future(self.declared.find(SERVED, name, dict(arguments), self.make))


@pytest.fixture
async def making() -> Making:
    return Making()


async def test_those_who_ask_meanwhile_and_later_get_the_same(making: Making) -> None:
    first, second = making.find(), making.find()
    await asyncio.sleep(0)
    assert making.declared.name_of(Engine()) is None
    making.go.set()
    engine = await first
    assert await second is engine
    assert await making.find() is engine
    assert making.made == [engine]
    assert making.declared.name_of(engine) == "it"
    assert [entry.target for entry in making.references.pinned()] == [engine]
    assert await making.find("another") is not engine


async def test_it_is_made_when_all_who_asked_have_gone(making: Making) -> None:
    asking = making.find()
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    making.go.set()
    engine = await making.find()
    assert making.made == [engine]


async def test_a_failure_is_told_to_each_and_not_kept(making: Making) -> None:
    making.fails = [ValueError("no such model")]
    making.go.set()
    for task in [making.find(), making.find()]:
        with pytest.raises(ValueError, match="no such model"):
            await task
    assert await making.find() is making.made[0]


@pytest.mark.parametrize("end", ["dead", "shut down"])
async def test_one_that_has_ended_is_made_anew_and_the_dead_ends_first(
    making: Making, end: str
) -> None:
    making.go.set()
    engine: Any = await making.find()
    if end == "dead":
        engine.dead = RuntimeError("it died")
    else:
        making.references.unpin(engine)
    both = await asyncio.gather(making.find(arguments={"a": 1}), making.find(arguments={"a": 1}))
    assert list(both) == [making.made[1]] * 2
    ended = ["end"] if end == "dead" else []
    assert making.events == ["make", *ended, "make"]
    assert making.declared.name_of(engine) is None


async def test_other_arguments_are_refused_by_their_names(making: Making) -> None:
    making.go.set()
    await making.find(arguments={"model": "m", "hf_token": "secret", "seed": 1})
    with pytest.raises(InvalidArgument) as refused:
        await making.find(arguments={"model": "m", "hf_token": "other", "dtype": "auto"})
    text = str(refused.value)
    assert "Engine 'it' is declared with other arguments" in text
    assert "different: dtype, hf_token, seed." in text
    assert "secret" not in text
    assert "other'" not in text


async def test_the_stop_ends_what_is_being_made(making: Making) -> None:
    asking = making.find()
    await asyncio.sleep(0)
    making.declared.stop()
    with pytest.raises(asyncio.CancelledError):
        await asking


@pytest.mark.parametrize(
    ("one", "other", "names"),
    [
        (Record("A", {"x": 1}), {"x": 1}, []),
        (Record("A", {"x": 1}), Record("A", {"x": 2, "y": None}), ["x"]),
        ({"x": np.zeros(2)}, {"x": np.zeros(2)}, ["x"]),
        (7, 7, []),
        (7, {"x": 1}, ["arguments", "x"]),
    ],
)
def test_what_differs(one: object, other: object, names: list[str]) -> None:
    assert differences(one, other) == names


def test_fields_have_texts_as_names() -> None:
    assert fields_of({1: 2}) == {"1": 2}


@pytest.mark.parametrize(
    ("args", "kwargs", "said"),
    [
        ([], {}, "takes a name and"),
        (["it", {}, 3], {}, "takes a name and"),
        (["it"], {"engine_args": {}}, "takes a name and"),
        (["", {}], {}, "1 to 200 letters, got str of 0"),
        (["x" * (MAX_NAME + 1), {}], {}, "got str of 201"),
        ([b"it", {}], {}, "got bytes"),
    ],
)
def test_what_is_no_declaration_is_refused(
    args: list[Any], kwargs: dict[str, Any], said: str
) -> None:
    with pytest.raises(InvalidArgument, match=said):
        named(args, kwargs)
    assert named(["x" * MAX_NAME, 7], {}) == ("x" * MAX_NAME, 7)
