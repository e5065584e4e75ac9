"""The installed vLLM makes its outputs as it did when ``token_tap`` was written."""

from __future__ import annotations

from typing import Any

import pytest

from python_worker.engines.guards import vllm_parts
from python_worker.engines.guards.token_path import unknown_source
from python_worker.gen.drift import token_sources
from python_worker.gen.drift.package import installed, read_package
from python_worker.gen.drift.surface_source import version
from python_worker.streaming import known_sources
from tests.python.support.vllm_sources import VERSIONS

CLASSES: list[tuple[str, Any]] = [
    (role, path) for role, classes in known_sources.SOURCES.items() for path in classes
]


def cls_of(path: str) -> Any:
    return next(
        cls
        for _role, cls in vllm_parts.token_path_classes()
        if f"{getattr(cls, '__module__', '')}.{getattr(cls, '__qualname__', '')}" == path
    )


def test_the_sources_of_the_installed_vllm_are_those_of_its_fixture() -> None:
    package = read_package(installed(), "vllm")
    assert package is not None
    assert token_sources.read(package) == VERSIONS[version(package)], (
        "vLLM makes its outputs in another way: review token_tap.py against the methods in "
        "known_sources.py, and then add their checksums there and to vllm_sources.json"
    )


@pytest.mark.parametrize(("role", "path"), CLASSES)
def test_a_source_that_is_read_as_text_is_that_of_the_living_method(role: str, path: str) -> None:
    cls = cls_of(path)
    for name in known_sources.SOURCES[role][path]:
        read = VERSIONS["0.32.0"][path][name]
        assert known_sources.checksum_of(vars(cls)[name]) == read[:16], name


@pytest.mark.parametrize(("role", "path"), CLASSES)
def test_a_subclass_is_known_by_its_methods(role: str, path: str) -> None:
    def other(*args: Any) -> Any:
        """A method of somebody's own."""

    cls = cls_of(path)
    assert known_sources.unknown_method(role, cls) is None
    for name in known_sources.known_checksums(role):
        changed = type("Subclass", (cls,), {name: other})
        assert known_sources.unknown_method(role, changed) == f"Subclass.{name}"
    assert known_sources.unknown_method(role, type("Subclass", (cls,), {"more": other})) is None


def test_an_engine_of_the_installed_vllm_has_the_direct_path(
    capsys: pytest.CaptureFixture[str],
) -> None:
    processor = cls_of("vllm.v1.engine.output_processor.OutputProcessor")
    assert unknown_source(object.__new__(processor)) is None
    token_sources.main()
    assert capsys.readouterr().out == "direct\n"
