"""What a call may name, without a worker around it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from python_worker.dispatch import members
from python_worker.exceptions import NotServed, Unsupported


@pytest.mark.parametrize("name", ["_run", "__class__", "a.b", "", "no_such"])
def test_private_and_unknown_members_are_not_found(name: str) -> None:
    with pytest.raises(NotServed):
        members.find_member(object(), name, on_engine=False)


def test_an_engine_shows_no_fields() -> None:
    holder = SimpleNamespace(engine_core="internal")
    assert members.find_member(holder, "engine_core", on_engine=False) == "internal"
    with pytest.raises(NotServed):
        members.find_member(holder, "engine_core", on_engine=True)


def test_of_vllms_private_methods_one_is_served_and_one_has_a_substitute() -> None:
    class Engine:
        def _run_output_handler(self) -> str:
            return "runs"

        def _add_request(self) -> None: ...

    find = members.find_member
    assert find(Engine(), "_run_output_handler", on_engine=True)() == "runs"
    with pytest.raises(Unsupported, match="use add_request"):
        find(Engine(), "_add_request", on_engine=True)
    for name in ("_run_output_handler", "_add_request"):
        with pytest.raises(NotServed):
            find(Engine(), name, on_engine=False)


def test_a_class_may_say_what_it_shows() -> None:
    class Shows:
        __served__ = frozenset({"get"})
        field = 1

        def get(self) -> int:
            return 2

        def put(self) -> None: ...

    assert members.find_member(Shows(), "get", on_engine=False)() == 2
    for name in ("put", "field"):
        with pytest.raises(NotServed):
            members.find_member(Shows(), name, on_engine=False)
