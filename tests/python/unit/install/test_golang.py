"""The step that unpacks Debian's Go. Scripts on the PATH stand for programs."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from python_worker.install import debian, golang
from python_worker.install.progress import Progress, SetupError
from python_worker.install.steps import Options

OPTIONS = Options(extra="cpu", dev=True)

UNPACK = """
PATH=/usr/bin:/bin; cd "$3"; mkdir -p usr/lib/go-1.24/bin
printf '#!/bin/sh\\necho go version go1.24.4 linux/amd64\\n' > usr/lib/go-1.24/bin/go
chmod +x usr/lib/go-1.24/bin/go
"""
DOWNLOAD = """
PATH=/usr/bin:/bin
for word in "$@"; do case "$word" in -oDir::Cache=*) cache="${word#*=}";; esac; done
case "$*" in
  indextargets*) echo http://mirror.example/debian/;;
  *download-only*) echo "$@" > "$0.asked"; echo > "$cache/archives/a_1_all.deb";;
esac
"""


@pytest.fixture
def machine(cache: Path, programs: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine with apt and dpkg: the folder of the programs."""
    keyring = tmp_path / "keyring.gpg"
    keyring.touch()
    monkeypatch.setattr(debian, "KEYRING", str(keyring))
    program(programs, "apt-get", DOWNLOAD)
    program(programs, "dpkg", UNPACK)
    return programs


def test_go_is_unpacked_and_says_what_it_is(machine: Path, cache: Path) -> None:
    assert golang.find_golang(OPTIONS) is None
    golang.make_golang(OPTIONS, Progress("golang"))
    folder = cache / "debian" / "golang"
    assert golang.find_golang(OPTIONS) == f"go version go1.24.4 linux/amd64 in {folder}"
    asked = (machine / "apt-get.asked").read_text()
    assert asked.strip().endswith("--yes golang-go golang-google-grpc-dev")
    assert not (folder / "packages").exists()


def test_a_command_runs_with_that_go_and_asks_no_server(machine: Path, cache: Path) -> None:
    golang.make_golang(OPTIONS, Progress("golang"))
    code = 'command -v go; echo "$GOPATH $GOPROXY $GO111MODULE"'
    command = [str(cache / "debian/golang/run"), "/bin/sh", "-c", code]
    output = subprocess.run(command, capture_output=True, text=True).stdout
    usr = cache / "debian/golang/usr"
    assert output.splitlines() == [f"{usr}/lib/go-1.24/bin/go", f"{usr}/share/gocode off off"]


def test_a_go_that_does_not_start_is_not_found_later(machine: Path) -> None:
    program(machine, "dpkg", UNPACK.replace("echo go version", "echo no library >&2; exit 1; :"))
    with pytest.raises(SetupError, match="does not start:\nno library"):
        golang.make_golang(OPTIONS, Progress("golang"))
    assert golang.find_golang(OPTIONS) is None


def program(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
