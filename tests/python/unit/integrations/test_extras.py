"""Optional libraries: loaded where they are, an error that says what to do where they are not."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

import pytest

from python_worker import codec, failures
from python_worker.exceptions import MissingDependency
from python_worker.generated.vllm_bridge.v1 import messages_pb2 as pb
from python_worker.install import environment
from python_worker.integrations import extras

ROOT = Path(extras.__file__).parents[2]


def test_every_optional_list_of_the_project_has_a_row() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(extras.EXTRAS) == set(environment.OPTIONAL)
    assert set(environment.OPTIONAL) <= set(project["optional-dependencies"])


def test_a_library_that_is_there_is_loaded() -> None:
    assert extras.load("mellea", "json").loads("1") == 1


def test_one_that_is_not_there_is_an_error_with_the_command() -> None:
    with pytest.raises(MissingDependency) as caught:
        extras.load("providers", "no_such_library.part")
    failure = failures.to_proto(caught.value)
    assert failure.kind == pb.FAILURE_KIND_MISSING_DEPENDENCY
    assert codec.decode(failure.details) == {
        "library": "no_such_library",
        "extra": "providers",
        "command": "mix vllm.setup --with providers",
    }
    assert "mix vllm.setup --with providers" in failure.message


def test_what_a_library_lacks_itself_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "half_a_library.py").write_text("import its_missing_half\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MissingDependency, match="its_missing_half") as caught:
        extras.load("mellea", "half_a_library")
    assert caught.value.details["library"] == "its_missing_half"
    assert "half_a_library" not in sys.modules


@pytest.mark.parametrize("extra", extras.EXTRAS)
def test_whether_one_is_installed_is_known_without_importing_it(
    extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(extras.EXTRAS, extra, ("json", "no_such_library"))
    assert not extras.is_installed(extra)
    monkeypatch.setitem(extras.EXTRAS, extra, ("json",))
    assert extras.is_installed(extra)
