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
def references() -> References:
    return References()


def test_an_object_is_found_by_its_reference(references: References) -> None:
    thing = Thing()
    ref = references.hold(thing, "client")
    assert references.resolve(ref.incarnation, ref.id) is thing
    assert ref.type == "Thing"
    entry = references.get(ref.id)
    assert entry is not None
    assert (entry.id, entry.type, entry.target) == (ref.id, "Thing", thing)
    assert references.get("unknown") is None


def test_release_frees_the_object(references: References) -> None:
    thing = Thing()
    gone = weakref.ref(thing)
    ref = references.hold(thing, "client")
    del thing
    assert references.release(ref.id, "client")
    gc.collect()
    assert gone() is None
    assert len(references) == 0


def test_releasing_twice_does_nothing(references: References) -> None:
    ref = references.hold(Thing(), "client")
    assert references.release(ref.id, "client")
    assert not references.release(ref.id, "client")


def test_another_holder_takes_over_what_one_holds_and_nothing_of_others(
    references: References,
) -> None:
    things = [Thing(), Thing(), Thing()]
    refs = [references.hold(it, "lost") for it in things]
    references.hold(things[0], "lost")
    references.hold(things[0], "next")
    references.hold(things[1], "other")
    moved = references.move_all("lost", "next")
    assert sorted(moved) == sorted([refs[0].id, refs[0].id, refs[1].id, refs[2].id])
    assert references.move_all("lost", "next") == []
    references.release_all("lost")
    assert len(references) == 3
    assert [references.release(refs[0].id, "next") for _ in range(4)] == [True, True, True, False]
    references.release_all("next")
    assert references.resolve(refs[1].incarnation, refs[1].id) is things[1]
    assert len(references) == 1


def test_what_was_built_without_a_receipt_stays_its_builder_s(references: References) -> None:
    ref = references.hold(Thing(), "lost", pin=True)
    assert references.move_all("lost", "next") == [ref.id]
    references.receive(ref.id, "next")
    assert [it.id for it in references.take_unreceived("lost")] == [ref.id]


def test_a_released_reference_is_stale(references: References) -> None:
    ref = references.hold(Thing(), "client")
    references.release(ref.id, "client")
    with pytest.raises(StaleReference, match="released or never existed"):
        references.resolve(ref.incarnation, ref.id)


def test_a_forged_reference_is_stale(references: References) -> None:
    references.hold(Thing(), "client")
    with pytest.raises(StaleReference):
        references.resolve(references.incarnation, "0000000000000001")


def test_a_reference_of_another_worker_never_finds_an_object(references: References) -> None:
    ref = references.hold(Thing(), "client")
    with pytest.raises(StaleReference, match="earlier worker"):
        references.resolve(References().incarnation, ref.id)


def test_the_same_object_has_the_same_reference(references: References) -> None:
    thing = Thing()
    assert references.hold(thing, "a") == references.hold(thing, "b")


def test_every_sending_counts(references: References) -> None:
    thing = Thing()
    ref = references.hold(thing, "client")
    references.hold(thing, "client")
    references.release(ref.id, "client")
    assert references.resolve(ref.incarnation, ref.id) is thing
    references.release(ref.id, "client")
    assert len(references) == 0


def test_one_holder_cannot_release_for_another(references: References) -> None:
    ref = references.hold(Thing(), "a")
    assert not references.release(ref.id, "b")
    assert len(references) == 1


def test_the_end_of_a_holder_releases_what_it_alone_held(references: References) -> None:
    shared, own = Thing(), Thing()
    references.hold(own, "a")
    ref = references.hold(shared, "a")
    references.hold(shared, "b")
    references.release_all("a")
    assert references.resolve(ref.incarnation, ref.id) is shared
    assert len(references) == 1


def test_a_pinned_object_stays_until_it_is_unpinned(references: References) -> None:
    engine = Thing()
    ref = references.hold(engine, "client", served=ServedClass(name="AsyncLLM"), pin=True)
    references.release_all("client")
    assert references.resolve(ref.incarnation, ref.id) is engine
    assert [entry.type for entry in references.pinned()] == ["AsyncLLM"]
    references.unpin(engine)
    assert len(references) == 0


def test_an_object_at_the_address_of_a_freed_one_is_another(references: References) -> None:
    seen = set()
    for _ in range(100):
        ref = references.hold(Thing(), "client")
        seen.add(ref.id)
        references.release(ref.id, "client")
    assert len(seen) == 100


def test_an_object_is_told_when_nobody_holds_it_any_more() -> None:
    told: list[object] = []
    served = ServedClass(released=told.append)
    references, thing = References(), object()
    first = references.hold(thing, "a", served=served)
    references.hold(thing, "b", served=served)
    references.release(first.id, "a")
    assert told == []
    references.release_all("b")
    assert told == [thing]
    references.release(first.id, "a")
    assert told == [thing]


def test_a_built_object_is_its_builders_until_the_receipt(references: References) -> None:
    engines = [references.hold(Thing(), "builder", pin=True).id for _ in range(3)]
    references.receive(engines[0], "somebody else")
    references.receive(engines[1], "builder")
    references.receive("unknown", "builder")
    assert references.take_unreceived("somebody else") == []
    assert [entry.id for entry in references.take_unreceived("builder", [engines[2]])] == [
        engines[2]
    ]
    assert [entry.id for entry in references.take_unreceived("builder")] == [engines[0]]
    assert references.take_unreceived("builder") == []
    references.release_all("builder")
    assert len(references) == 3


def test_a_built_object_that_is_being_shut_down_awaits_no_receipt(references: References) -> None:
    engine = Thing()
    references.hold(engine, "builder", pin=True)
    references.end_begins(engine)
    references.end_begins(Thing())
    assert references.take_unreceived("builder") == []


@pytest.mark.parametrize("received", [True, False])
def test_a_pinned_object_that_is_pinned_again_keeps_its_builder(
    references: References, received: bool
) -> None:
    """Another client may be given an engine that exists: it has not built it."""
    engine = Thing()
    ref = references.hold(engine, "builder", pin=True)
    if received:
        references.receive(ref.id, "builder")
    assert references.hold(engine, "somebody else", pin=True) == ref
    assert references.take_unreceived("somebody else") == []
    assert len(references.take_unreceived("builder")) == (0 if received else 1)


def test_what_the_worker_keeps_has_no_builder(references: References) -> None:
    engine = Thing()
    entry = references.keep(engine, ServedClass(name="AsyncLLM"))
    ref = references.hold(engine, "somebody", pin=True)
    assert ref.id == entry.id
    assert references.take_unreceived("somebody") == []
    references.release_all("somebody")
    assert references.resolve(ref.incarnation, ref.id) is engine


def test_an_object_may_be_pinned_after_it_was_handed_out(references: References) -> None:
    engine = Thing()
    ref = references.hold(engine, "somebody")
    references.hold(engine, "builder", pin=True)
    references.release_all("somebody")
    assert [entry.id for entry in references.take_unreceived("builder")] == [ref.id]
    references.release_all("builder")
    assert references.resolve(ref.incarnation, ref.id) is engine
