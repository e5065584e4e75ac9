"""Which token path an engine has, and the reason if it is not the direct one."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from typing import Any

import pytest

from python_worker.engines.guards import guarded, token_path, vllm_parts
from python_worker.streaming import known_sources
from python_worker.streaming.token_tap import tap_of
from tests.python.support.engine_class import EngineClass, configuration


class Parent:
    """Stands in for a class of vLLM that the token tap relies on."""

    def get_outputs(self) -> int:
        return 1


class Changed:
    """The same of another vLLM."""

    def get_outputs(self) -> int:
        return 2


SetUp = Callable[..., None]


@pytest.fixture
def vllm_has(monkeypatch: pytest.MonkeyPatch) -> SetUp:
    """Installs a vLLM with one class, of which the source of ``Parent`` is known."""
    checksum = known_sources.checksum_of(Parent.get_outputs)
    sources = {"processor": {}, "parent": {"made_up.Parent": {"get_outputs": {"1.0": checksum}}}}
    monkeypatch.setattr(known_sources, "SOURCES", sources)
    monkeypatch.setattr(known_sources, "VERSIONS", ("1.0",))
    monkeypatch.setattr(token_path, "vllm_version", lambda: "2.0")

    def set_up(**classes: type) -> None:
        module = types.ModuleType("made_up")
        vars(module).update(classes)
        monkeypatch.setitem(sys.modules, "made_up", module)
        known_sources.unknown_method.cache_clear()

    return set_up


def built(**options: Any) -> Any:
    return guarded.guard_vllm(EngineClass, **options)(configuration())


def test_an_engine_of_a_known_vllm_has_the_direct_path(vllm_has: SetUp) -> None:
    vllm_has(Parent=Parent)
    tap = tap_of(built())
    assert (tap.path, tap.reason) == ("direct", None)


def test_a_changed_source_is_named(vllm_has: SetUp) -> None:
    vllm_has(Parent=Changed)
    tap = tap_of(built())
    assert tap.path == "outputs"
    assert tap.reason == (
        "vLLM 2.0's source of Changed.get_outputs differs from the known ones (1.0)"
    )


def test_a_class_that_is_gone_is_named(vllm_has: SetUp) -> None:
    vllm_has(Another=Parent)
    assert tap_of(built()).reason == "vLLM 2.0 has no class made_up.Parent"


def test_the_direct_path_can_be_turned_off(vllm_has: SetUp) -> None:
    vllm_has(Parent=Parent)
    tap = tap_of(built(token_path="outputs"))
    assert (tap.path, tap.reason) == ("outputs", token_path.TURNED_OFF)
    assert "--token-path outputs" in token_path.TURNED_OFF


def test_an_engine_class_that_is_not_vllms_makes_outputs() -> None:
    foreign = guarded.guard_foreign(type("Own", (), {}))()
    assert tap_of(foreign).reason == (
        "the engine class is not vLLM's AsyncLLM: it has no output processor"
    )


def test_the_token_path_is_decided_once(vllm_has: SetUp) -> None:
    vllm_has(Parent=Parent)
    engine = built()
    tap = tap_of(engine)
    vllm_has(Parent=Changed)
    assert tap_of(engine) is tap


def test_a_missing_class_is_given_by_its_name(vllm_has: SetUp) -> None:
    vllm_has(Parent=Parent)
    assert list(vllm_parts.token_path_classes()) == [("parent", Parent)]
    vllm_has()
    assert list(vllm_parts.token_path_classes()) == [("parent", "made_up.Parent")]
