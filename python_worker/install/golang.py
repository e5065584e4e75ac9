"""The step ``golang``: Go and grpc-go of Debian's trixie, in a folder of their own.

For developers, where it is named: `make test-interop` has grpc-go talk to the worker and to the
client. The packages are unpacked as those of the step ``trixie`` are (see ``debian``):

    ~/.cache/vllm_bridge/debian/golang/     the unpacked packages
    ~/.cache/vllm_bridge/debian/golang/run  runs a command with that Go: `run go build server.go`
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from python_worker.install import debian, environment
from python_worker.install.locks import locked
from python_worker.install.progress import Progress, SetupError
from python_worker.install.steps import Options, Step

RELEASE = "trixie"
PACKAGES = ("golang-go", "golang-google-grpc-dev")

# Go uses the sources that Debian packages as libraries, and asks no server for others.
RUN = """#!/bin/sh
# Runs a command with the Go in this folder.
export GOROOT='{root}' GOPATH='{folder}/usr/share/gocode' GOCACHE='{folder}/cache'
export GO111MODULE=off GOPROXY=off GOTOOLCHAIN=local CGO_ENABLED=0
export PATH="$GOROOT/bin:$PATH"
exec "$@"
"""


def folder() -> Path:
    """Where the packages are."""
    return environment.cache_dir() / "debian" / "golang"


def find_golang(_options: Options) -> str | None:
    """Looks for the unpacked packages."""
    versions = folder() / debian.VERSIONS
    return versions.read_text(encoding="utf-8") if versions.is_file() else None


def make_golang(options: Options, progress: Progress) -> None:
    """Unpacks Go and grpc-go.

    Raises:
        SetupError: There is no apt, or one of the programs failed.
    """
    place = folder()
    log = environment.cache_dir() / "setup-golang.log"
    place.parent.mkdir(parents=True, exist_ok=True)
    with locked(place.with_suffix(".lock"), progress, "another set-up of it"):
        if find_golang(options):
            return
        advice = f"look into {log}; the packages of Debian's {RELEASE} must be reachable by apt"
        debian.check_programs(progress, advice)
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        progress.say(f"downloading Go and grpc-go of Debian's {RELEASE} (70 MB)")
        debian.unpack(RELEASE, PACKAGES, place, log, progress, advice)
        _write_run(place)
        (place / debian.VERSIONS).write_text(_version(place), encoding="utf-8")


def _write_run(place: Path) -> None:
    root = next(place.glob("usr/lib/go-*/bin/go")).parent.parent
    script = place / "run"
    script.write_text(RUN.format(folder=place, root=root), encoding="utf-8")
    script.chmod(0o755)


def _version(place: Path) -> str:
    """Asks the unpacked Go, which so has to start."""
    command = [str(place / "run"), "go", "version"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        raise SetupError(f"the Go in {place} does not start:\n{result.stderr}", advice="")
    return f"{result.stdout.strip()} in {place}"


STEP = Step(name="golang", find=find_golang, make=make_golang)
