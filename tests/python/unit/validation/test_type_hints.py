"""Annotations that are kept as text are evaluated."""

from __future__ import annotations

import fractions as fractions_
from typing import Any, TypedDict

from python_worker.validation.annotations import checker
from python_worker.validation.type_hints import evaluate, hints_of
from tests.python.support.annotated import refusal


def test_a_type_of_an_imported_module_is_checked_though_only_type_checkers_import_it() -> None:
    class Embeds(TypedDict):
        embeds: "fractions.Fraction"  # type: ignore[name-defined]  # noqa: F821, UP037

    assert checker(Embeds)({"embeds": fractions_.Fraction(1)}, "it")
    assert str(refusal(Embeds, {"embeds": "x"})) == "it.embeds: wants Fraction, got str 'x'"


def annotated(**annotations: str) -> type:
    return type("Annotated", (), {"__annotations__": annotations, "__module__": __name__})


def test_an_annotation_that_cannot_be_evaluated_is_any_and_the_others_are_kept() -> None:
    cls = annotated(a="int | None", b="NoSuchName", c="list[NoSuchName]")
    assert hints_of(cls) == {"a": int | None, "b": Any, "c": Any}


def test_the_annotations_of_base_classes_are_kept() -> None:
    base = annotated(a="int", b="NoSuchName")
    child = type("Child", (base,), {"__annotations__": {"b": "str"}, "__module__": __name__})
    assert hints_of(child) == {"a": int, "b": str}


def test_an_annotation_that_is_an_object_stays_as_it_is() -> None:
    assert evaluate(int, {}) is int
    assert evaluate("Given", {"Given": str}) is str
