"""The step that gets cowlib. Scripts on the PATH stand for programs."""

from __future__ import annotations

from pathlib import Path

import pytest

from python_worker.install import cowlib
from python_worker.install.progress import Progress, SetupError
from python_worker.install.steps import Options


def test_cowlib_comes_from_the_cache_without_any_program(
    cache: Path, programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIX_HOME", str(tmp_path / "mix"))
    (cache / "cowlib" / "ebin").mkdir(parents=True)
    (cache / "cowlib" / "ebin" / "cowlib.app").write_text('{application, cowlib, [{vsn,"2.9.1"}]}.')
    clone = options(tmp_path / "clone")
    assert cowlib.find_cowlib(clone) is None
    cowlib.make_cowlib(clone, Progress("cowlib"))
    assert cowlib.find_cowlib(clone) == "cowlib 2.9.1 in vendor/cowlib/ebin"


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
    cowlib.make_cowlib(clone, Progress("cowlib"))
    assert cowlib.find_cowlib(clone) == "cowlib 2.9.1 in vendor/cowlib/ebin"
    assert (cache / "cowlib" / "ebin" / "cowlib.app").is_file()


def test_without_hex_and_apt_the_user_is_told_to_install_hex(
    cache: Path, programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIX_HOME", str(tmp_path / "mix"))
    with pytest.raises(SetupError, match="neither Hex nor apt-get") as caught:
        cowlib.make_cowlib(options(tmp_path), Progress("cowlib"))
    assert "mix local.hex" in caught.value.advice


def options(root: Path) -> Options:
    return Options(extra="cpu", dev=False, root=root)


def program(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
