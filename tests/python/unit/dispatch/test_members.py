"""What a call may name, without a worker around it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from python_worker.dispatch import members
from python_worker.dispatch.served_classes import OTHER, ServedClass
from python_worker.engines.builder import Builder
from python_worker.exceptions import NotServed, Unsupported
from python_worker.surface import async_llm

ENGINE = async_llm(Builder())


@pytest.mark.parametrize("name", ["_run", "__class__", "a.b", "", "no_such"])
def test_private_and_unknown_members_are_not_found(name: str) -> None:
    with pytest.raises(NotServed):
        members.find_member(object(), name, OTHER)


@pytest.mark.parametrize("name", ["a.b", "with space", "1st", "", "a-b", "x()"])
def test_what_is_no_identifier_is_not_found_even_where_it_exists(name: str) -> None:
    holder = SimpleNamespace(**{name: print})
    assert getattr(holder, name) is print
    with pytest.raises(NotServed, match="is not a public method"):
        members.find_member(holder, name, OTHER)


def test_an_engine_shows_no_fields() -> None:
    holder = SimpleNamespace(engine_core="internal")
    assert members.find_member(holder, "engine_core", OTHER) == "internal"
    with pytest.raises(NotServed):
        members.find_member(holder, "engine_core", ENGINE)


def test_of_vllms_private_methods_one_is_served_and_one_has_a_substitute() -> None:
    class Engine:
        def _run_output_handler(self) -> str:
            return "runs"

        def _add_request(self) -> None: ...

    find = members.find_member
    assert find(Engine(), "_run_output_handler", ENGINE)() == "runs"
    with pytest.raises(Unsupported, match="use add_request"):
        find(Engine(), "_add_request", ENGINE)
    for name in ("_run_output_handler", "_add_request"):
        with pytest.raises(NotServed):
            find(Engine(), name, OTHER)


def test_a_class_may_say_what_it_shows() -> None:
    class Shows:
        field = 1

        def get(self) -> int:
            return 2

        def put(self) -> None: ...

    shows = ServedClass(shown=frozenset({"get"}))
    assert members.find_member(Shows(), "get", shows)() == 2
    for name in ("put", "field"):
        with pytest.raises(NotServed):
            members.find_member(Shows(), name, shows)


def test_a_policy_may_add_methods() -> None:
    class Counter:
        count = 3

    added = ServedClass(added={"plus": lambda counter, more: counter.count + more})
    member = members.find_member(Counter(), "plus", added)
    assert members.is_method(Counter(), "plus", member)
    assert member(4) == 7
    with pytest.raises(NotServed):
        members.find_member(Counter(), "plus", OTHER)


def test_an_engine_has_the_methods_that_are_added() -> None:
    for name in ("chat", "stream_chat", "embed", "classify", "score", "encode_batch"):
        assert members.returns_at_once(members.find_member(object(), name, ENGINE))
