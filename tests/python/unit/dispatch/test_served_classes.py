"""A class that the worker has never heard of is served by one row, and nothing else."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from python_worker import codec
from python_worker.codec.types import RefParts
from python_worker.dispatch.access import Access
from python_worker.dispatch.call import Call
from python_worker.dispatch.call_limit import CallLimit
from python_worker.dispatch.dispatcher import Dispatcher
from python_worker.dispatch.engine_watch import Watches
from python_worker.dispatch.references import References
from python_worker.dispatch.served_classes import OTHER, Constructors, ServedClass, ServedClasses
from python_worker.exceptions import NotServed, Stopped
from python_worker.generated.vllm_bridge.v1 import messages_pb2 as pb
from tests.python.support.calls import Answers

THREAD = "the-oven"


class Oven:
    """A made-up class with a member of every kind."""

    def __init__(self, degrees: int) -> None:
        self.degrees = degrees
        self.off = False
        self.recipe = ["flour"]

    @property
    def heat(self) -> int:
        """How hot it is."""
        return self.degrees

    def bake(self, minutes: int) -> list[object]:
        """Blocks, and tells the thread that it runs in."""
        return [minutes, threading.current_thread().name]

    async def preheat(self, *, degrees: int = 200) -> tuple[int, int]:
        """A coroutine."""
        await asyncio.sleep(0)
        return self.degrees, degrees

    async def timer(self, count: int) -> AsyncIterator[int]:
        """An async generator."""
        for number in range(count):
            yield number

    async def burn(self) -> None:
        """Fails in a way that says nothing."""
        raise RuntimeError("cannot schedule new futures after shutdown")

    def light(self) -> bool:
        """Returns at once."""
        return threading.current_thread() is threading.main_thread()

    def dismantle(self) -> None:
        """Refused."""
        raise AssertionError("nobody may reach this")

    def switch_off(self) -> str:
        """Ends its life."""
        self.off = True
        return "cold"


class Microwave(Oven):
    """A class without a row of its own."""


async def make(method: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> object:
    assert method in ("new", "hot")
    return Oven(250) if method == "hot" else Oven(*args, **kwargs)


def row(executor: ThreadPoolExecutor) -> ServedClass:
    """All that it takes."""
    return ServedClass(
        name="Oven",
        constructors=Constructors({"new", "hot"}, make),
        executor=lambda oven: executor,
        immediate=frozenset({"light"}),
        refused={"dismantle": "an oven without a door burns the kitchen down; use switch_off"},
        translations={"preheat": lambda given: given.set("degrees", given.pop("temperature"))},
        results={"preheat": list},
        copied={"recipe": lambda recipe: [*recipe, "a copy"]},
        death=lambda oven: Stopped("the oven is off") if oven.off else None,
        shutdown="switch_off",
        stop=lambda oven: None,
    )


class Kitchen:
    """A client of a worker that serves ovens, over the dispatcher alone."""

    def __init__(self, executor: ThreadPoolExecutor) -> None:
        self.references = References()
        self.dispatcher = Dispatcher(
            self.references,
            ServedClasses([row(executor)]),
            watches=Watches(announce=lambda notice: None),
            limit=CallLimit(10),
        )

    async def call(
        self, target: str | RefParts, method: str, *args: object, **kwargs: object
    ) -> Answers:
        request = pb.CallRequest(
            method=method, args=codec.encode(list(args)), kwargs=codec.encode(kwargs)
        )
        if isinstance(target, str):
            request.class_name = target
        else:
            request.ref, request.incarnation = target.id, target.incarnation
        answers = Answers()
        task = self.dispatcher.start(Call(request, answers, holder=self))
        if task is not None:
            await task
        return answers

    async def value(
        self, target: str | RefParts, method: str, *args: object, **kwargs: object
    ) -> object:
        return self.read(await self.call(target, method, *args, **kwargs))

    async def oven(self, method: str = "new", *args: object) -> RefParts:
        answers = await self.call("Oven", method, *args)
        made = self.read(answers)
        return self.references.hold(made, self)

    def read(self, answers: Answers) -> object:
        return codec.decode(answers.value, resolve=self.references.resolve)


@pytest.fixture
def kitchen() -> Iterator[Kitchen]:
    with ThreadPoolExecutor(1, thread_name_prefix=THREAD) as executor:
        yield Kitchen(executor)


async def test_its_constructors_make_one(kitchen: Kitchen) -> None:
    made = await kitchen.value("Oven", "new", 180)
    assert isinstance(made, Oven)
    assert made.degrees == 180
    assert (await kitchen.oven("hot")).type == "Oven"
    failure = (await kitchen.call("Oven", "bake", 1)).failure
    assert failure.kind == pb.FAILURE_KIND_NOT_FOUND
    assert "there are hot, new" in failure.message


async def test_an_object_makes_no_other_object_of_its_class(kitchen: Kitchen) -> None:
    oven = await kitchen.oven("new", 180)
    failure = (await kitchen.call(oven, "hot")).failure
    assert failure.kind == pb.FAILURE_KIND_UNSUPPORTED
    assert "by the class's name" in failure.message


async def test_a_blocking_method_runs_in_the_executor_of_its_class(kitchen: Kitchen) -> None:
    baked = await kitchen.value(await kitchen.oven("hot"), "bake", 30)
    assert isinstance(baked, list)
    assert baked[0] == 30
    assert baked[1].startswith(THREAD)


async def test_a_coroutine_is_awaited_with_translated_names_and_a_converted_result(
    kitchen: Kitchen,
) -> None:
    oven = await kitchen.oven("hot")
    assert await kitchen.value(oven, "preheat", temperature=90) == [250, 90]


async def test_an_async_generator_is_streamed(kitchen: Kitchen) -> None:
    answers = await kitchen.call(await kitchen.oven("hot"), "timer", 3)
    assert answers.outcomes == ["accepted", "item", "item", "item", "end"]
    assert [codec.decode(item) for item in answers.items] == [0, 1, 2]


async def test_a_property_and_an_immediate_method_are_answered_at_once(kitchen: Kitchen) -> None:
    oven = await kitchen.oven("hot")
    for method, value in {"heat": 250, "light": True}.items():
        request = pb.CallRequest(ref=oven.id, incarnation=oven.incarnation, method=method)
        answers = Answers()
        assert kitchen.dispatcher.start(Call(request, answers, holder=kitchen)) is None
        assert kitchen.read(answers) == value


@pytest.mark.parametrize("member", ["heat", "recipe", "degrees"])
async def test_what_is_no_method_takes_no_arguments(kitchen: Kitchen, member: str) -> None:
    oven = await kitchen.oven("hot")
    for call in (kitchen.call(oven, member, 1), kitchen.call(oven, member, x=1)):
        failure = (await call).failure
        assert failure.kind == pb.FAILURE_KIND_INVALID
        assert failure.message == f"{member} is a property and takes no arguments"


async def test_a_field_may_be_served_as_a_copy(kitchen: Kitchen) -> None:
    assert await kitchen.value(await kitchen.oven("hot"), "recipe") == ["flour", "a copy"]


async def test_a_call_names_an_object_or_a_class(kitchen: Kitchen) -> None:
    answers = Answers()
    call = Call(pb.CallRequest(method="bake"), answers, holder=kitchen)
    assert kitchen.dispatcher.start(call) is None
    assert answers.failure.kind == pb.FAILURE_KIND_PROTOCOL
    assert "neither a reference nor a class" in answers.failure.message


@pytest.mark.parametrize(
    "access", [Access("web", inference_only=True), Access("web", False, frozenset())]
)
async def test_a_role_is_asked_before_a_member_is_looked_for(
    kitchen: Kitchen, access: Access
) -> None:
    oven = await kitchen.oven("hot")
    for method in ("bake", "no_such"):
        request = pb.CallRequest(ref=oven.id, incarnation=oven.incarnation, method=method)
        answers = Answers()
        assert kitchen.dispatcher.start(Call(request, answers, holder=1, access=access)) is None
        assert answers.failure.kind == pb.FAILURE_KIND_FORBIDDEN


@pytest.mark.parametrize("off", [False, True])
async def test_what_a_dead_object_raises_is_its_death(kitchen: Kitchen, off: bool) -> None:
    oven = await kitchen.oven("hot")
    kitchen.references.find(oven.incarnation, oven.id).target.off = off  # type: ignore[attr-defined]
    failure = (await kitchen.call(oven, "burn")).failure
    if off:
        assert (failure.kind, failure.message) == (pb.FAILURE_KIND_WORKER_DOWN, "the oven is off")
        assert failure.cause.type == "builtins.RuntimeError"
    else:
        assert (failure.kind, failure.type) == (pb.FAILURE_KIND_PYTHON, "builtins.RuntimeError")


async def test_a_refused_method_says_why(kitchen: Kitchen) -> None:
    failure = (await kitchen.call(await kitchen.oven("hot"), "dismantle")).failure
    assert failure.kind == pb.FAILURE_KIND_UNSUPPORTED
    assert failure.message.endswith("use switch_off")


async def test_it_lives_until_its_shutdown(kitchen: Kitchen) -> None:
    oven = await kitchen.oven("hot")
    kitchen.references.release_all(kitchen)
    assert [entry.id for entry in kitchen.references.pinned()] == [oven.id]
    assert await kitchen.value(oven, "switch_off") == "cold"
    failure = (await kitchen.call(oven, "heat")).failure
    assert failure.kind == pb.FAILURE_KIND_STALE_REF


async def test_a_class_without_a_row_is_not_served(kitchen: Kitchen) -> None:
    failure = (await kitchen.call("Fridge", "new")).failure
    assert failure.kind == pb.FAILURE_KIND_NOT_FOUND
    assert failure.message == "no class 'Fridge' is served; there are Oven"


def test_an_object_has_the_policy_of_its_class_or_a_base() -> None:
    base = ServedClass(name="Oven", cls=Oven)
    classes = ServedClasses([base])
    assert classes.of(Microwave(1)) is base
    assert classes.of("an oven") is OTHER
    with pytest.raises(NotServed):
        classes.named("Oven")  # It has neither a constructor nor a singleton.


LIMITED: dict[str, Callable[[], tuple[ServedClass, str, bool]]] = {
    "a method": lambda: (ServedClass(), "bake", True),
    "a method that reports load": lambda: (ServedClass(unlimited=frozenset({"a"})), "a", False),
    "a class without a limit": lambda: (ServedClass(limited=False), "bake", False),
}


@pytest.mark.parametrize("case", LIMITED)
def test_which_calls_count_towards_the_limit(case: str) -> None:
    served, method, counts = LIMITED[case]()
    assert served.counts(method) is counts


@pytest.mark.parametrize("half", [{"shutdown": "close"}, {"stop": print}])
def test_a_row_that_the_stop_of_the_worker_would_forget_is_refused(half: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="both `shutdown` and `stop`"):
        ServedClass(name="Oven", **half)


async def test_at_the_workers_stop_every_class_that_wants_to_is_told() -> None:
    told = []

    async def tell() -> None:
        told.append("oven")

    classes = ServedClasses([ServedClass(name="Oven", at_stop=tell), ServedClass(name="Pan")])
    await classes.stop()
    assert told == ["oven"]
