"""The steps of set-up: what they find, what they refuse, and what they tell the user to do.

Programs such as apt-get are replaced by small scripts on the PATH.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from python_worker.install import __main__ as install
from python_worker.install.progress import Progress, SetupError

ROOT = Path(install.__file__).parents[2]


def program(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


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


def test_set_up_needs_only_the_standard_library() -> None:
    """-S -E: no site-packages, as on a machine where nothing is installed yet."""
    result = subprocess.run(
        [sys.executable, "-S", "-E", "-m", "python_worker.install", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
