"""The step that finds or installs Elixir. Scripts on the PATH stand for programs."""

from __future__ import annotations

from pathlib import Path

import pytest

from python_worker.install import elixir
from python_worker.install.progress import Progress, SetupError
from python_worker.install.steps import Options

ROOT = Path(elixir.__file__).parents[2]


ELIXIR = (
    """printf 'Erlang/OTP %s [erts-13.1.5] [source]\\n\\nElixir %s (compiled with OTP 24)\\n'"""
)


def program(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def options(root: Path) -> Options:
    return Options(extra="cpu", dev=False, root=root)


def test_elixir_is_found_with_both_versions(programs: Path) -> None:
    program(programs, "elixir", f"{ELIXIR} 25 1.14.0")
    assert elixir.find_elixir(options(ROOT)) == "Elixir 1.14.0 on Erlang/OTP 25"


@pytest.mark.parametrize("versions", ["24 1.14.0", "25 1.13.4"])
def test_an_old_elixir_is_refused_by_its_version(programs: Path, versions: str) -> None:
    program(programs, "elixir", f"{ELIXIR} {versions}")
    assert elixir.find_elixir(options(ROOT)) is None
    with pytest.raises(SetupError, match="too old") as caught:
        elixir.make_elixir(options(ROOT), Progress("elixir"))
    assert "1.14" in caught.value.advice


def test_without_elixir_and_apt_the_user_is_told_where_to_get_it(programs: Path) -> None:
    with pytest.raises(SetupError, match="no apt-get") as caught:
        elixir.make_elixir(options(ROOT), Progress("elixir"))
    assert "elixir-lang.org" in caught.value.advice
