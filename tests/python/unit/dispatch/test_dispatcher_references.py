"""Which objects are held for a client: those of the replies that it gets, and no others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from python_worker import codec
from python_worker.codec.bulk import BULKY_VALUES
from python_worker.codec.types import RefParts
from python_worker.dispatch.call import Call
from python_worker.dispatch.call_limit import CallLimit
from python_worker.dispatch.dispatcher import Dispatcher
from python_worker.dispatch.engine_watch import Watches
from python_worker.dispatch.references import References
from python_worker.dispatch.served_classes import Constructors, ServedClass, ServedClasses
from python_worker.exceptions import Cancelled, StaleReference
from python_worker.generated.vllm_bridge.v1 import messages_pb2 as pb
from python_worker.wire import server_frames
from tests.python.support.calls import Answers
from tests.python.support.streams import wait_turns


class Thing:
    """What is sent as a reference."""


class Liar(Exception):
    """An exception that cannot be described."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


def unencodable() -> object:
    """What no client can be sent."""


THING = Thing()

VALUES: dict[str, Any] = {
    "one": THING,
    "several": [Thing(), {"deep": (Thing(), {Thing()})}],
    "twice": [THING, THING],
    "as a key": {Thing(): 1},
}

FAILING: dict[str, Any] = {
    "a function behind it": [Thing(), unencodable],
    "an exception without a text behind it": [Thing(), Liar()],
    "too deep behind it": [Thing(), [[]]],
    "too large": [Thing(), "x" * 100],
}
inner: list[Any] = FAILING["too deep behind it"][1]
for _ in range(2000):
    inner = [inner]
FAILING["too deep behind it"] = [Thing(), inner]


class Shop:
    """What returns things."""

    def __init__(self, kind: str = "") -> None:
        self.kind = kind
        self.closed = self.dead = False

    async def bulky(self) -> object:
        """Returns more than is encoded in the loop's own thread."""
        return [Thing(), *range(BULKY_VALUES)]

    async def endless(self) -> object:
        """Returns as much, which contains itself."""
        value: list[object] = [Thing(), *range(BULKY_VALUES)]
        value.append(value)
        return value

    async def value(self, name: str) -> object:
        """Returns a value that can be sent."""
        return VALUES[name]

    async def failing(self, name: str) -> object:
        """Returns a value that cannot be sent."""
        return FAILING[name]

    async def values(self) -> AsyncIterator[object]:
        """Yields values that can be sent."""
        for value in VALUES.values():
            yield value

    async def failing_last(self, name: str) -> AsyncIterator[object]:
        """Yields a value that can be sent, and one that cannot."""
        yield Thing()
        yield FAILING[name]

    async def raises(self) -> None:
        """Raises an exception whose details hold an object."""
        error = ValueError("no")
        error.value = Thing()  # type: ignore[attr-defined]
        raise error

    async def exception(self) -> object:
        """Returns an exception whose details hold an object, as a value."""
        error = ValueError("no")
        error.value = Thing()  # type: ignore[attr-defined]
        return error

    def close(self) -> None:
        """Ends it."""
        self.closed = True


async def make(method: str, args: Sequence[Any], kwargs: object) -> object:
    return Shop(method)


ROWS = [
    ServedClass(
        name="Engine",
        constructors=Constructors({"new"}, make, declaring="declared", declared="new"),
        shutdown="close",
        stop=Shop.close,
        death=lambda shop: RuntimeError("dead") if shop.dead else None,
    ),
    ServedClass(name="Config", constructors=Constructors({"new"}, make)),
]


class Client:
    """Calls a shop, over the dispatcher alone."""

    def __init__(self) -> None:
        self.references = References()
        self.ref = self.references.hold(Shop(), "the test")
        self.dispatcher = Dispatcher(
            self.references,
            ServedClasses(ROWS),
            watches=Watches(announce=lambda notice: None),
            limit=CallLimit(10),
        )

    def start(
        self, target: RefParts | str, method: str, *args: object, places: int = 1000
    ) -> tuple[Call, Answers, asyncio.Task[None] | None]:
        request = pb.CallRequest(method=method, args=codec.encode(list(args)))
        if isinstance(target, str):
            request.class_name = target
        else:
            request.ref, request.incarnation = target.id, target.incarnation
        answers = Answers(places)
        call = Call(request, answers, holder=self)
        return call, answers, self.dispatcher.start(call)

    async def call(self, target: RefParts | str, method: str, *args: object) -> Answers:
        _, answers, task = self.start(target, method, *args)
        if task is not None:
            await task
        return answers

    @property
    def held(self) -> list[str]:
        """The ids that are held for this client, once for each time."""
        entries = [entry for entry in self.references._entries.values() if self in entry.holders]
        return sorted(entry.id for entry in entries for _ in range(entry.holders[self]))


@pytest.fixture
async def client() -> Client:
    return Client()


@pytest.mark.parametrize("name", VALUES)
async def test_a_value_says_which_references_it_holds(client: Client, name: str) -> None:
    (reply,) = (await client.call(client.ref, "value", name)).replies
    assert sorted(reply.references) == client.held != []
    assert sorted(reply.references) == sorted(found(reply.value))
    assert not reply.built
    for ref_id in reply.references:
        assert client.references.release(ref_id, client)
    assert client.held == []


async def test_an_item_says_which_references_it_holds(client: Client) -> None:
    answers = await client.call(client.ref, "values")
    items = [reply for reply in answers.replies if reply.WhichOneof("outcome") == "item"]
    assert len(items) == len(VALUES)
    for reply in items:
        assert sorted(reply.references) == sorted(found(reply.item)) != []
    assert sorted(ref_id for reply in items for ref_id in reply.references) == client.held


async def test_other_replies_hold_none(client: Client) -> None:
    answers = await client.call(client.ref, "values")
    for method in ("raises", "exception"):
        answers.replies += (await client.call(client.ref, method)).replies
    others = [reply for reply in answers.replies if reply.WhichOneof("outcome") != "item"]
    assert [reply.WhichOneof("outcome") for reply in others] == [
        *("accepted", "end", "failure", "value")
    ]
    assert not any(reply.references for reply in others)


@pytest.mark.parametrize("name", FAILING)
@pytest.mark.parametrize("method", ["failing", "failing_last"])
async def test_nothing_is_held_of_what_could_not_be_sent(
    client: Client, name: str, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_frames, "MAX_VALUE_BYTES", 100)
    answers = await client.call(client.ref, method, name)
    assert answers.outcomes[-1] == "failure"
    assert client.held == sorted(ref_id for it in answers.replies for ref_id in it.references)
    assert len(client.held) == (method == "failing_last")


async def test_nothing_is_held_of_an_item_that_waits_for_credit_when_its_call_ends(
    client: Client,
) -> None:
    call, answers, task = client.start(client.ref, "values", places=1)
    await wait_turns(20)
    assert answers.outcomes == ["accepted", "item"]
    assert len(client.held) == 1 + 3, "of the item that was sent, and of the one that waits"
    call.stop(Cancelled("enough"))
    assert task is not None
    await task
    assert answers.outcomes == ["accepted", "item", "failure"]
    assert client.held == sorted(answers.replies[1].references)


@pytest.mark.parametrize(("name", "built"), [("Engine", True), ("Config", False)])
async def test_a_constructor_says_whether_its_object_lives_until_its_shutdown(
    client: Client, name: str, built: bool
) -> None:
    (reply,) = (await client.call(name, "new")).replies
    assert reply.built == built
    assert list(reply.references) == found(reply.value) == client.held
    client.references.release(reply.references[0], client)
    assert len(client.references) == 1 + built


async def test_a_declared_object_that_is_dead_is_closed_and_its_references_are_stale(
    client: Client,
) -> None:
    first = await declared(client)
    assert await declared(client) == first
    shop = client.references.resolve(first.incarnation, first.id)
    assert isinstance(shop, Shop)
    shop.dead = True
    client.references.release_all(client)
    second = await declared(client)
    assert second.id != first.id
    assert shop.closed
    with pytest.raises(StaleReference):
        client.references.resolve(first.incarnation, first.id)
    assert [entry.id for entry in client.references.pinned()] == [second.id]


async def declared(client: Client) -> RefParts:
    (reply,) = (await client.call("Engine", "declared", "it", {})).replies
    (ref_id,) = reply.references
    return RefParts(client.references.incarnation, ref_id, "Engine")


async def test_a_bulky_value_arrives_with_its_references(client: Client) -> None:
    answers = await client.call(client.ref, "bulky")
    (reply,) = answers.replies
    assert found(reply.value) == list(reply.references) == client.held
    assert len(client.held) == 1


async def test_a_bulky_value_that_contains_itself_is_refused_and_nothing_is_held(
    client: Client,
) -> None:
    failure = (await client.call(client.ref, "endless")).failure
    assert "a list that contains itself cannot be sent" in failure.message
    assert client.held == []


def found(value: bytes) -> list[str]:
    """The ids of the references in an encoded value."""
    ids: list[str] = []

    def resolve(_incarnation: str, ref_id: str) -> object:
        ids.append(ref_id)
        return ref_id

    codec.decode(value, resolve=resolve)
    return ids
