"""What dispatch lets through, without a worker around it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from python_worker import dispatch
from python_worker.failures import NotServed


@pytest.mark.parametrize("name", ["_run", "__class__", "a.b", "", "no_such"])
def test_private_and_unknown_members_are_not_found(name: str) -> None:
    with pytest.raises(NotServed):
        dispatch.find_member(object(), name, on_engine=False)


def test_an_engine_shows_no_fields() -> None:
    holder = SimpleNamespace(engine_core="internal")
    assert dispatch.find_member(holder, "engine_core", on_engine=False) == "internal"
    with pytest.raises(NotServed):
        dispatch.find_member(holder, "engine_core", on_engine=True)
