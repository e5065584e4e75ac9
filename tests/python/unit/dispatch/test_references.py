"""References keep objects alive exactly as long as somebody holds them."""

from __future__ import annotations

import gc
import weakref

import pytest

from python_worker.dispatch.references import References
from python_worker.dispatch.served_classes import ServedClass
from python_worker.exceptions import StaleReference


class Thing:
    """Something that cannot cross the wire."""


@pytest.fixture
def registry() -> References:
    return References()


def test_an_object_is_found_by_its_reference(registry: References) -> None:
    thing = Thing()
    ref = registry.hold(thing, "client")
    assert registry.resolve(ref.incarnation, ref.id) is thing
    assert ref.type == "Thing"


def test_release_frees_the_object(registry: References) -> None:
    thing = Thing()
    gone = weakref.ref(thing)
    ref = registry.hold(thing, "client")
    del thing
    assert registry.release(ref.id, "client")
    gc.collect()
    assert gone() is None
    assert len(registry) == 0


def test_releasing_twice_does_nothing(registry: References) -> None:
    ref = registry.hold(Thing(), "client")
    assert registry.release(ref.id, "client")
    assert not registry.release(ref.id, "client")


def test_a_released_reference_is_stale(registry: References) -> None:
    ref = registry.hold(Thing(), "client")
    registry.release(ref.id, "client")
    with pytest.raises(StaleReference, match="released or never existed"):
        registry.resolve(ref.incarnation, ref.id)


def test_a_forged_reference_is_stale(registry: References) -> None:
    registry.hold(Thing(), "client")
    with pytest.raises(StaleReference):
        registry.resolve(registry.incarnation, "0000000000000001")


def test_a_reference_of_another_worker_never_finds_an_object(registry: References) -> None:
    ref = registry.hold(Thing(), "client")
    with pytest.raises(StaleReference, match="earlier worker"):
        registry.resolve(References().incarnation, ref.id)


def test_the_same_object_has_the_same_reference(registry: References) -> None:
    thing = Thing()
    assert registry.hold(thing, "a") == registry.hold(thing, "b")


def test_every_sending_counts(registry: References) -> None:
    thing = Thing()
    ref = registry.hold(thing, "client")
    registry.hold(thing, "client")
    registry.release(ref.id, "client")
    assert registry.resolve(ref.incarnation, ref.id) is thing
    registry.release(ref.id, "client")
    assert len(registry) == 0


def test_one_holder_cannot_release_for_another(registry: References) -> None:
    ref = registry.hold(Thing(), "a")
    assert not registry.release(ref.id, "b")
    assert len(registry) == 1


def test_the_end_of_a_holder_releases_what_it_alone_held(registry: References) -> None:
    shared, own = Thing(), Thing()
    registry.hold(own, "a")
    ref = registry.hold(shared, "a")
    registry.hold(shared, "b")
    registry.release_all("a")
    assert registry.resolve(ref.incarnation, ref.id) is shared
    assert len(registry) == 1


def test_a_pinned_object_stays_until_it_is_unpinned(registry: References) -> None:
    engine = Thing()
    ref = registry.hold(engine, "client", served=ServedClass(name="AsyncLLM"), pin=True)
    registry.release_all("client")
    assert registry.resolve(ref.incarnation, ref.id) is engine
    assert [entry.type for entry in registry.pinned()] == ["AsyncLLM"]
    registry.unpin(engine)
    assert len(registry) == 0


def test_an_object_at_the_address_of_a_freed_one_is_another(registry: References) -> None:
    seen = set()
    for _ in range(100):
        ref = registry.hold(Thing(), "client")
        seen.add(ref.id)
        registry.release(ref.id, "client")
    assert len(seen) == 100


def test_an_object_is_told_when_nobody_holds_it_any_more() -> None:
    told: list[object] = []
    served = ServedClass(released=told.append)
    registry, thing = References(), object()
    first = registry.hold(thing, "a", served=served)
    registry.hold(thing, "b", served=served)
    registry.release(first.id, "a")
    assert told == []
    registry.release_all("b")
    assert told == [thing]
    registry.release(first.id, "a")
    assert told == [thing]
