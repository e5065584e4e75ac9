"""The sources of the direct token path, read as text: what changed, and which path follows."""

from __future__ import annotations

from pathlib import Path

import pytest

from python_worker.gen.drift import token_sources
from python_worker.gen.drift.package import Package, read_package
from python_worker.streaming import known_sources

BOTH = '''class Parent:
    def get_outputs(self):
        """Get them."""
        return 1
        # The end.

    @property
    def ids(self):
        return 2

    def other(self):
        return 3
'''

SOURCE = (
    '    def get_outputs(self):\n        """Get them."""\n        return 1\n        # The end.\n'
)


@pytest.fixture(autouse=True)
def _known(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = known_sources.checksum("    @property\n    def ids(self):\n        return 2\n")
    methods = {"get_outputs": {"1.0": known_sources.checksum(SOURCE)}, "ids": {"1.0": ids}}
    sources = {"parent": {"vllm.made_up.Parent": methods, "vllm.made_up.Child": {}}}
    monkeypatch.setattr(known_sources, "SOURCES", sources)
    monkeypatch.setattr(known_sources, "VERSIONS", ("1.0",))


def package(text: str) -> Package:
    return Package({"vllm.made_up": lambda: text})


CHILD = "\n\nclass Child(Parent):\n    pass\n"


def sources(text: str = BOTH + CHILD) -> token_sources.Sources:
    return token_sources.read(package(text))


def report(text: str) -> list[str]:
    return token_sources.report(sources(), sources(text), "2.0")[2:]


def test_the_methods_that_are_relied_on_are_read_with_decorators_and_comments() -> None:
    found = sources()["vllm.made_up.Parent"]
    assert found is not None
    assert found.keys() == {"get_outputs", "ids"}
    assert found["get_outputs"] == token_sources.checksum(SOURCE)
    assert list(token_sources.unknown(sources(), "2.0")) == []


def test_what_is_the_same_is_listed_as_the_same() -> None:
    assert report(BOTH.replace("return 3", "return 4") + CHILD) == [
        "  same     vllm.made_up.Parent",
        "  same     vllm.made_up.Child",
        "  token path of vLLM 2.0: direct",
    ]


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        ("return 1", "return 2", "get_outputs"),
        ("# The end.", "# Another end.", "get_outputs"),
        ("@property", "@cached_property", "ids"),
        ("def ids(self)", "def all_ids(self)", "ids"),
    ],
)
def test_a_changed_method_is_named(old: str, new: str, changed: str) -> None:
    text = BOTH.replace(old, new) + CHILD
    assert report(text) == [
        f"  changed  vllm.made_up.Parent: {changed}",
        "  same     vllm.made_up.Child",
        "  token path of vLLM 2.0: outputs",
    ]
    assert list(token_sources.unknown(sources(text), "2.0")) == [
        f"vLLM 2.0's source of Parent.{changed} differs from the known ones (1.0)"
    ]


def test_a_method_that_a_class_newly_has_of_its_own_is_a_change() -> None:
    text = BOTH + CHILD.replace("pass", "def get_outputs(self): ...")
    assert report(text)[1:] == [
        "  changed  vllm.made_up.Child: get_outputs",
        "  token path of vLLM 2.0: outputs",
    ]


@pytest.mark.parametrize("text", [BOTH, BOTH + CHILD.replace("Child", "Another")])
def test_a_class_that_is_gone_is_named(text: str) -> None:
    assert report(text)[1:] == [
        "  gone     vllm.made_up.Child",
        "  token path of vLLM 2.0: outputs",
    ]
    assert list(token_sources.unknown(sources(text), "2.0")) == [
        "vLLM 2.0 has no class vllm.made_up.Child"
    ]


def test_a_class_that_has_moved_is_gone() -> None:
    moved = Package({"vllm.made_up": lambda: BOTH, "vllm.elsewhere": lambda: CHILD})
    assert token_sources.read(moved)["vllm.made_up.Child"] is None


def test_packages_without_any_of_the_classes_have_no_report() -> None:
    assert token_sources.report(sources(""), sources(""), "2.0") == []


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        (BOTH + CHILD, "direct\n"),
        (BOTH, "outputs vLLM of unknown version has no class vllm.made_up.Child\n"),
    ],
)
def test_the_path_of_the_installed_vllm_is_printed(
    text: str,
    printed: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "vllm").mkdir()
    (tmp_path / "vllm" / "made_up.py").write_text(text, encoding="utf-8")
    assert read_package(tmp_path, "vllm") is not None
    monkeypatch.setattr(token_sources, "installed", lambda: tmp_path)
    token_sources.main()
    assert capsys.readouterr().out == printed


def test_a_vllm_that_is_not_installed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def installed() -> Path:
        raise ValueError("the package vllm is not installed")

    monkeypatch.setattr(token_sources, "installed", installed)
    with pytest.raises(SystemExit, match="vllm is not installed"):
        token_sources.main()
