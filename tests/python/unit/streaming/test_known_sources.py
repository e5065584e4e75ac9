"""The table of known sources: what it holds, and what is unknown to it."""

from __future__ import annotations

import pytest

from python_worker.streaming import known_sources
from tests.python.support.vllm_sources import VERSIONS, Sources


def expected_of(version: str) -> Sources:
    """The table as it is for one version: of each method the newest entry that is not newer."""
    place = known_sources.VERSIONS.index(version)
    reached = known_sources.VERSIONS[: place + 1]
    return {
        path: {
            name: next(checksums[it] for it in reversed(reached) if it in checksums)
            for name, checksums in methods.items()
        }
        for classes in known_sources.SOURCES.values()
        for path, methods in classes.items()
    }


def test_every_reviewed_version_has_a_fixture() -> None:
    assert tuple(VERSIONS) == known_sources.VERSIONS


@pytest.mark.parametrize("version", VERSIONS)
def test_the_table_has_the_sources_of_every_version(version: str) -> None:
    found = {
        path: {name: checksum[:16] for name, checksum in methods.items()}
        for path, methods in VERSIONS[version].items()
    }
    assert found == expected_of(version)


def test_every_checksum_of_the_table_is_that_of_a_reviewed_version() -> None:
    assert {
        checksum
        for role in known_sources.SOURCES
        for checksums in known_sources.known_checksums(role).values()
        for checksum in checksums
    } == {
        checksum[:16]
        for sources in VERSIONS.values()
        for methods in sources.values()
        for checksum in methods.values()
    }


def test_a_method_without_source_is_unknown() -> None:
    assert known_sources.checksum_of(len) == known_sources.checksum_of(None) == ""
    assert known_sources.unknown_method("state", object) == "object.make_request_output"


def test_what_is_unknown_is_said_with_the_versions_that_are_known() -> None:
    said = known_sources.why_unknown("9.9.9", "RequestState.make")
    assert said.startswith("vLLM 9.9.9's source of RequestState.make differs from the known ones")
    assert all(version in said for version in known_sources.VERSIONS)
    assert known_sources.why_missing(None, "a.B") == "vLLM None has no class a.B"


class Parent:
    def get_outputs(self) -> None:
        """Not vLLM's."""


def test_a_class_is_known_by_the_source_of_its_methods(monkeypatch: pytest.MonkeyPatch) -> None:
    assert known_sources.unknown_method("parent", Parent) == "Parent.get_outputs"

    source = '    def get_outputs(self) -> None:\n        """Not vLLM\'s."""\n'
    entry = {"a.Parent": {"get_outputs": {"1.0": known_sources.checksum(source)}}}
    monkeypatch.setattr(known_sources, "SOURCES", {"parent": entry})
    assert known_sources.unknown_method("parent", type("Subclass", (Parent,), {})) is None


def test_a_property_is_known_by_the_source_of_its_getter() -> None:
    checksum = known_sources.checksum_of(Parent.get_outputs)
    assert checksum != ""
    assert known_sources.checksum_of(property(Parent.get_outputs)) == checksum
