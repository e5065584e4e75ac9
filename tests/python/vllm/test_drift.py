"""The installed vLLM, read as text, is what introspection of the living one found."""

from __future__ import annotations

import pytest

from python_worker.gen import manifest
from python_worker.gen.drift import __main__ as drift
from python_worker.gen.drift.package import installed
from python_worker.gen.drift.surface import Class, Surface, from_manifest


@pytest.fixture(scope="module")
def surfaces() -> tuple[Surface, Surface]:
    return from_manifest(manifest.load()), drift.read(installed())


def fields(cls: Class) -> list[str]:
    # Introspection puts what a TypedDict needs first.
    return sorted(field.name for field in cls.fields)


def test_it_has_the_same_methods_with_the_same_parameters(
    surfaces: tuple[Surface, Surface],
) -> None:
    introspected, source = surfaces
    for name in ("AsyncLLM", "AsyncEngineArgs"):
        methods = {method.name: method for method in source.classes[name].methods}
        for method in introspected.classes[name].methods:
            found = methods.pop(method.name)
            assert (found.kind, found.doc) == (method.kind, method.doc), method.name
            assert [(p.name, p.kind) for p in found.parameters] == [
                (p.name, p.kind) for p in method.parameters
            ]
        assert methods == {}
    assert source.classes["AsyncLLM"].attributes == introspected.classes["AsyncLLM"].attributes
    assert source.version == introspected.version


def test_it_has_the_same_classes_with_the_same_fields(surfaces: tuple[Surface, Surface]) -> None:
    introspected, source = surfaces
    assert set(source.classes) == set(introspected.classes)
    for name, cls in introspected.classes.items():
        assert source.classes[name].qualname == cls.qualname
        assert fields(source.classes[name]) == fields(cls), name
