"""The steps that unpack another Debian's Elixir. Scripts on the PATH stand for programs."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from python_worker.install import __main__ as install
from python_worker.install import debian
from python_worker.install.progress import Progress, SetupError
from python_worker.install.steps import Options

# What the real packages put where, as far as the step looks: `dpkg -x package folder` makes it.
UNPACK = """
PATH=/usr/bin:/bin; cd "$3"
mkdir -p usr/lib64 usr/lib/x86_64-linux-gnu usr/lib/elixir/bin usr/lib/erlang/bin
mkdir -p usr/lib/erlang/erts-15/bin usr/lib/rabbitmq/lib/r/plugins/cowlib-2.9.1/ebin
touch usr/lib64/ld-linux-x86-64.so.2
printf 'ROOTDIR=/usr/lib/erlang' | tee usr/lib/erlang/bin/erl > usr/lib/erlang/erts-15/bin/erl
printf '\\177ELF' > usr/lib/erlang/erts-15/bin/beam.smp
printf '#!/bin/sh\\nprintf "1.18.3 on Erlang/OTP 27"\\n' > usr/lib/elixir/bin/elixir
chmod +x usr/lib/elixir/bin/elixir
"""

# The last line of apt's settings is the command, and `Dir::Cache` the folder to download to.
DOWNLOAD = """
PATH=/usr/bin:/bin
for word in "$@"; do case "$word" in -oDir::Cache=*) cache="${word#*=}";; esac; done
case "$*" in
  indextargets*) echo http://mirror.example/debian-security/; echo http://mirror.example/debian/;;
  *download-only*) cat "$cache/sources.list" > "$0.sources"; echo > "$cache/archives/a_1_all.deb";;
esac
"""


@pytest.fixture
def machine(cache: Path, programs: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine with apt, dpkg and patchelf: the folder of the programs."""
    keyring = tmp_path / "keyring.gpg"
    keyring.touch()
    monkeypatch.setattr(debian, "KEYRING", str(keyring))
    program(programs, "apt-get", DOWNLOAD)
    program(programs, "dpkg", UNPACK)
    program(programs, "patchelf", 'echo "$@" >> "$0.calls"')
    return programs


def test_a_release_is_unpacked_and_says_what_it_is(machine: Path, cache: Path) -> None:
    assert debian.find_release(options(), release="trixie") is None
    debian.make_release(options(), Progress("trixie"), release="trixie")
    folder = cache / "debian" / "trixie"
    found = debian.find_release(options(), release="trixie")
    assert found == f"Elixir 1.18.3 on Erlang/OTP 27 in {folder}"
    source = (machine / "apt-get.sources").read_text()
    assert source.endswith("http://mirror.example/debian/ trixie main\n")
    assert not (folder / "packages").exists()


def test_erlang_s_programs_use_what_is_in_the_folder(machine: Path, cache: Path) -> None:
    debian.make_release(options(), Progress("forky"), release="forky")
    lib = cache / "debian" / "forky" / "usr" / "lib"
    for script in (lib / "erlang/bin/erl", lib / "erlang/erts-15/bin/erl"):
        assert script.read_text() == f"ROOTDIR={lib}/erlang"
    (call,) = (machine / "patchelf.calls").read_text().splitlines()
    assert call.startswith(f"--set-interpreter {lib}64/ld-linux-x86-64.so.2 ")
    assert call.endswith(f"{lib}/x86_64-linux-gnu {lib}/erlang/erts-15/bin/beam.smp")


def test_a_command_runs_with_that_elixir_and_a_build_folder_of_its_own(
    machine: Path, cache: Path, tmp_path: Path
) -> None:
    debian.make_release(options(), Progress("forky"), release="forky")
    code = 'command -v elixir; echo "$MIX_BUILD_ROOT"; echo "$VLLM_BRIDGE_COWLIB"'
    command = [str(cache / "debian/forky/run"), "/bin/sh", "-c", code]
    output = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path).stdout
    lib = cache / "debian/forky/usr/lib"
    cowlib = lib / "rabbitmq/lib/r/plugins/cowlib-2.9.1"
    assert output.splitlines() == [
        f"{lib}/elixir/bin/elixir",
        f"{tmp_path}/_build/forky",
        str(cowlib),
    ]


def test_a_half_made_folder_is_made_anew(machine: Path, cache: Path) -> None:
    rest = cache / "debian" / "trixie" / "rest"
    rest.parent.mkdir(parents=True)
    rest.touch()
    debian.make_release(options(), Progress("trixie"), release="trixie")
    assert not rest.exists()


def test_an_elixir_that_does_not_start_fails_and_is_not_found_later(machine: Path) -> None:
    broken = UNPACK.replace('printf "1.18.3', 'echo no library >&2; exit 1; printf "1.18.3')
    program(machine, "dpkg", broken)
    with pytest.raises(SetupError, match="does not start:\nno library"):
        debian.make_release(options(), Progress("trixie"), release="trixie")
    assert debian.find_release(options(), release="trixie") is None


def test_without_apt_the_user_is_told_where_it_works(cache: Path, programs: Path) -> None:
    with pytest.raises(SetupError, match="no apt-get") as caught:
        debian.make_release(options(), Progress("trixie"), release="trixie")
    assert "Debian" in caught.value.advice


def test_without_debians_archive_the_user_is_told_to_add_it(machine: Path) -> None:
    program(
        machine, "apt-get", 'case "$*" in indextargets*) echo http://mirror.example/other/;; esac'
    )
    with pytest.raises(SetupError, match="no source of Debian's archive") as caught:
        debian.make_release(options(), Progress("trixie"), release="trixie")
    assert "apt's sources" in caught.value.advice
    assert debian.find_release(options(), release="trixie") is None


def test_the_steps_are_done_only_where_they_are_named() -> None:
    assert {step.name for step in install.ON_REQUEST} == {"trixie", "forky", "golang"}
    assert not {step.name for step in install.STEPS} & {step.name for step in install.ON_REQUEST}


def options() -> Options:
    return Options(extra="cpu", dev=True)


def program(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
