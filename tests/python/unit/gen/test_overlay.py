"""The overlay says something of everything in the manifest, and of nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from python_worker.gen import manifest, overlay
from python_worker.gen.elixir import engines

MANIFEST = manifest.load()

MEMBERS = {
    owner: {it["name"]: it for it in MANIFEST[key]["members"]}
    for owner, key in manifest.ENGINES.items()
}
# What the worker adds to a class is described by AsyncLLM's.
for owner, names in engines.OF_THE_BRIDGE.items():
    MEMBERS[owner] |= {name: MEMBERS["AsyncLLM"][name] for name in names}

# Of an LLM, the worker also serves two of AsyncLLM's properties.
ADDED_ATTRIBUTES = {"AsyncLLM": set[str](), "LLM": {"errored", "dead_error"}}

OTHERS = {
    (cls, name): entry
    for cls, methods in overlay.other_classes().items()
    for name, entry in methods.items()
}

ENTRIES = {
    (owner, name): entry for owner in MEMBERS for name, entry in overlay.members(owner).items()
} | OTHERS


def parameters(owner: str, name: str) -> set[str]:
    if owner in MEMBERS:
        described = MEMBERS[owner].get(name, {"parameters": []})
        return {p["name"] for p in described["parameters"]}
    for described in MANIFEST["classes"].get(owner, {}).get("methods", ()):
        if described["name"] == name:
            return {"engine_args", *(p["name"] for p in described["parameters"])}
    return set()


@pytest.mark.parametrize("owner", MEMBERS)
def test_every_member_has_an_entry_and_every_entry_a_member(owner: str) -> None:
    attributes = set(overlay.served_attributes(owner))

    assert set(overlay.members(owner)) == set(MEMBERS[owner]) | attributes


@pytest.mark.parametrize("owner", MEMBERS)
def test_every_instance_attribute_is_served_or_has_a_reason(owner: str) -> None:
    served, not_served = set(overlay.served_attributes(owner)), set(overlay.not_served(owner))
    attributes = set(MANIFEST[manifest.ENGINES[owner]]["instance_attributes"])

    assert served | not_served == attributes | ADDED_ATTRIBUTES[owner]
    assert served & not_served == set()
    assert all(overlay.not_served(owner).values())


def test_entries_of_other_classes_are_about_methods_in_the_manifest() -> None:
    described = {
        (cls, method["name"])
        for cls, described in MANIFEST["classes"].items()
        for method in described.get("methods", ())
    }

    # The collector is written by hand.
    assert set(OTHERS) - described == {("RequestOutputCollector", "get")}
    assert described <= set(OTHERS)


@pytest.mark.parametrize("name", ENTRIES)
def test_an_entry_holds_what_it_may(name: tuple[str, str]) -> None:
    entry: dict[str, Any] = ENTRIES[name]

    assert set(entry) <= set(overlay.KEYS)
    for key, value in entry.items():
        assert isinstance(value, overlay.KEYS[key]), key
    assert entry.get("timeout", 1) == overlay.INFINITY or entry.get("timeout", 1) > 0
    # An unusual deadline has a reason, which its documentation tells.
    assert ("why_timeout" in entry) == ("timeout" in entry or "unlimited_with" in entry)


@pytest.mark.parametrize("name", ENTRIES)
def test_an_entry_is_about_parameters_that_exist(name: tuple[str, str]) -> None:
    entry, own = ENTRIES[name], parameters(*name)

    assert set(entry.get("arguments", ())) <= own
    assert set(entry.get("types", ())) <= own
    assert set(entry.get("old", ())) & own == set()
    assert set(entry.get("unlimited_with", ())) <= own | set(entry.get("old", ()))


@pytest.mark.parametrize("owner", MEMBERS)
def test_a_member_without_words_of_vllms_has_some(owner: str) -> None:
    silent = {name for name, member in MEMBERS[owner].items() if not member["doc"]}

    assert {name for name in silent if not overlay.members(owner)[name].get("lead")} == set()


def test_shared_words_are_about_parameters_that_exist() -> None:
    assert set(overlay.parameters()) <= set.union(*(parameters(*name) for name in ENTRIES))
