"""The overlay says something of everything in the manifest, and of nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from python_worker.gen import manifest, overlay

MANIFEST = manifest.load()
MEMBERS = {member["name"]: member for member in MANIFEST["async_llm"]["members"]}
ATTRIBUTES = set(MANIFEST["async_llm"]["instance_attributes"])

OTHERS = {
    f"{cls}.{name}": entry
    for cls, methods in overlay.other_classes().items()
    for name, entry in methods.items()
}

ENTRIES = {**overlay.members(), **OTHERS}


def parameters(name: str) -> set[str]:
    if name in MEMBERS:
        return {p["name"] for p in MEMBERS[name]["parameters"]}
    cls, _, method = name.partition(".")
    for described in MANIFEST["classes"].get(cls, {}).get("methods", ()):
        if described["name"] == method:
            return {"engine_args", *(p["name"] for p in described["parameters"])}
    return set()


def test_every_member_has_an_entry_and_every_entry_a_member() -> None:
    assert set(overlay.members()) == set(MEMBERS) | set(overlay.served_attributes())


def test_every_instance_attribute_is_served_or_has_a_reason() -> None:
    served, not_served = set(overlay.served_attributes()), set(overlay.not_served())

    assert served | not_served == ATTRIBUTES
    assert served & not_served == set()
    assert all(overlay.not_served().values())


def test_entries_of_other_classes_are_about_methods_in_the_manifest() -> None:
    described = {
        f"{cls}.{method['name']}"
        for cls, described in MANIFEST["classes"].items()
        for method in described.get("methods", ())
    }

    # The collector is written by hand.
    assert set(OTHERS) - described == {"RequestOutputCollector.get"}
    assert described <= set(OTHERS)


@pytest.mark.parametrize("name", ENTRIES)
def test_an_entry_holds_what_it_may(name: str) -> None:
    entry: dict[str, Any] = ENTRIES[name]

    assert set(entry) <= set(overlay.KEYS)
    for key, value in entry.items():
        assert isinstance(value, overlay.KEYS[key]), key
    assert entry.get("timeout", 1) == overlay.INFINITY or entry.get("timeout", 1) > 0
    # An unusual deadline has a reason, which its documentation tells.
    assert ("why_timeout" in entry) == ("timeout" in entry or "unlimited_with" in entry)


@pytest.mark.parametrize("name", ENTRIES)
def test_an_entry_is_about_parameters_that_exist(name: str) -> None:
    entry, own = ENTRIES[name], parameters(name)

    assert set(entry.get("arguments", ())) <= own
    assert set(entry.get("types", ())) <= own
    assert set(entry.get("old", ())) & own == set()
    assert set(entry.get("unlimited_with", ())) <= own | set(entry.get("old", ()))


def test_a_member_without_words_of_vllms_has_some() -> None:
    silent = {name for name, member in MEMBERS.items() if not member["doc"]}

    assert {name for name in silent if not overlay.members()[name].get("lead")} == set()


def test_shared_words_are_about_parameters_that_exist() -> None:
    assert set(overlay.parameters()) <= set.union(*map(parameters, ENTRIES))
