"""The fake engine has every member that vLLM's has, so that an application can call it."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from python_worker.gen import manifest
from python_worker.testing.fake_engine.engine import FakeAsyncLLM

MEMBERS: list[dict[str, Any]] = manifest.load()["async_llm"]["members"]

KINDS: dict[str, Any] = {
    "property": lambda it: isinstance(it, property),
    "classmethod": lambda it: isinstance(it, classmethod),
    "coroutine": inspect.iscoroutinefunction,
    "async_generator": inspect.isasyncgenfunction,
    "function": inspect.isfunction,
    "constructor": inspect.isfunction,
}


@pytest.mark.parametrize("member", MEMBERS, ids=lambda member: member["name"])
def test_every_member_of_vllms_engine_is_there(member: dict[str, Any]) -> None:
    static = inspect.getattr_static(FakeAsyncLLM, member["name"])
    assert KINDS[member["kind"]](static), static


@pytest.mark.parametrize(
    "member",
    [it for it in MEMBERS if it["kind"] != "property"],
    ids=lambda member: member["name"],
)
def test_every_parameter_of_it_is_taken(member: dict[str, Any]) -> None:
    taken = inspect.signature(getattr(FakeAsyncLLM, member["name"])).parameters
    assert [it["name"] for it in member["parameters"] if it["name"] not in taken] == []
