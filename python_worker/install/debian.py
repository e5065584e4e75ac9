"""The steps ``trixie`` and ``forky``: the newer Elixir of a Debian release, in a folder of its own.

They are for developers, and run only where they are named: `make docs` takes ExDoc from trixie,
`make package` Hex, and `make test-latest` tests with both releases. Nothing of the running system
is changed, and neither root nor a container is needed. apt resolves and downloads the packages with
lists of its own, `dpkg -x` unpacks them, and Erlang's programs are told where their libraries are:

    ~/.cache/vllm_bridge/debian/trixie/          the unpacked packages
    ~/.cache/vllm_bridge/debian/trixie/run       runs a command with that Elixir: `run mix test`
    ~/.cache/vllm_bridge/debian/trixie/VERSIONS  is written last: without it the folder is made anew
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from python_worker.install import environment
from python_worker.install.locks import locked
from python_worker.install.progress import Progress, SetupError, run
from python_worker.install.steps import Options, Step, apt

# The first has Elixir 1.18 on OTP 27, the second 1.20 on OTP 29.
RELEASES = ("trixie", "forky")

# RabbitMQ's package has Debian's build of cowlib, as in the step `cowlib`.
PACKAGES = ("elixir", "elixir-ex-doc", "erlang-hex", "rabbitmq-server")

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
VERSIONS = "VERSIONS"

# Mix keeps what it compiles apart, because the modules of another Erlang may not load.
RUN = """#!/bin/sh
# Runs a command with the Elixir in this folder.
export PATH='{folder}/usr/lib/elixir/bin:{folder}/usr/lib/erlang/bin':"$PATH"
export MIX_BUILD_ROOT="$PWD/_build/{release}"
export VLLM_BRIDGE_COWLIB='{cowlib}'
exec "$@"
"""


def folder_of(release: str) -> Path:
    """Where the packages of a release are."""
    return environment.cache_dir() / "debian" / release


def find_release(_options: Options, *, release: str) -> str | None:
    """Looks for the unpacked packages of a release."""
    versions = folder_of(release) / VERSIONS
    return versions.read_text(encoding="utf-8") if versions.is_file() else None


def make_release(options: Options, progress: Progress, *, release: str) -> None:
    """Unpacks Elixir, ExDoc, Hex and cowlib of a release.

    Raises:
        SetupError: There is no apt, or one of the programs failed.
    """
    folder = folder_of(release)
    log = environment.cache_dir() / f"setup-{release}.log"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with locked(folder.with_suffix(".lock"), progress, "another set-up of it"):
        if find_release(options, release=release):
            return
        advice = f"look into {log}; the packages of Debian's {release} must be reachable by apt"
        check_programs(progress, advice, programs=["patchelf"])
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        progress.say(f"downloading Elixir of Debian's {release} (60 MB)")
        unpack(release, PACKAGES, folder, log, progress, advice)
        _relocate(folder, log, progress)
        _write_run(folder, release)
        (folder / VERSIONS).write_text(_versions(folder), encoding="utf-8")


def check_programs(progress: Progress, advice: str, *, programs: Sequence[str] = ()) -> None:
    """Installs what is missing: programs, and the keys of Debian's archive.

    Raises:
        SetupError: There is no apt.
    """
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        raise SetupError("there is no apt-get", advice="run this on Debian or Ubuntu")
    missing = [program for program in programs if shutil.which(program) is None]
    if not Path(KEYRING).is_file():
        missing.append("debian-archive-keyring")
    if missing:
        apt(["update"], progress, advice=advice)
        apt(["install", "--yes", "--no-install-recommends", *missing], progress, advice=advice)


def unpack(
    release: str,
    packages: Sequence[str],
    folder: Path,
    log: Path,
    progress: Progress,
    advice: str,
) -> None:
    """Unpacks packages of a release into a folder, and all that they depend on."""
    archives = folder / "packages"
    _download(release, packages, archives, log, progress, advice)
    for number, package in enumerate(found := sorted(archives.glob("archives/*.deb")), 1):
        progress.update(f"unpacking {number} of {len(found)} packages")
        run(["dpkg", "-x", str(package), str(folder)], log=log, progress=progress)
    shutil.rmtree(archives)


def _download(
    release: str,
    packages: Sequence[str],
    folder: Path,
    log: Path,
    progress: Progress,
    advice: str,
) -> None:
    """Downloads packages and all that they depend on, as for an empty system."""
    for name in ("lists/partial", "archives/partial"):
        (folder / name).mkdir(parents=True)
    (folder / "status").touch()
    source = f"deb [signed-by={KEYRING}] {_mirror()} {release} main\n"
    (folder / "sources.list").write_text(source, encoding="utf-8")
    settings = {
        "Dir::State": folder,
        "Dir::State::status": folder / "status",
        "Dir::Cache": folder,
        "Dir::Etc::sourcelist": folder / "sources.list",
        "Dir::Etc::sourceparts": "/dev/null",
        # A mirror may hold the testing release as it was some time ago.
        "Acquire::Check-Valid-Until": "false",
        # As root, apt downloads as the user _apt, who may not write here.
        "APT::Sandbox::User": "root",
        "APT::Install-Recommends": "false",
    }
    command = ["apt-get", "-q", *(f"-o{name}={value}" for name, value in settings.items())]
    for arguments in (["update"], ["install", "--download-only", "--yes", *packages]):
        run([*command, *arguments], log=log, progress=progress, news=_apt_news, advice=advice)


def _apt_news(line: str) -> str | None:
    return line if line.startswith("Get:") else None


def _mirror() -> str:
    """The mirror of Debian's archive that this machine's apt uses.

    Raises:
        SetupError: It uses none.
    """
    command = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Origin: Debian"]
    lines = subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()
    mirror = next((line for line in lines if line.rstrip("/").endswith("/debian")), None)
    if mirror is None:
        raise SetupError(
            "apt has no source of Debian's archive",
            advice="add one to apt's sources, run `apt-get update`, and try again",
        )
    return mirror


def _relocate(folder: Path, log: Path, progress: Progress) -> None:
    """Has Erlang's programs use the loader and the libraries in the folder, and start scripts it.

    The programs that Erlang starts, such as the worker's Python, are those of the running system.
    """
    progress.say("setting the paths of Erlang's programs")
    loader = next(folder.glob("usr/lib64/ld-linux*.so.*"), None) or next(
        folder.glob("usr/lib/ld-linux*.so.*")
    )
    libraries = next(folder.glob("usr/lib/*-linux-gnu"))
    settings = ["--set-interpreter", str(loader), "--force-rpath", "--set-rpath", str(libraries)]
    for program in _compiled(folder):
        run(["patchelf", *settings, str(program)], log=log, progress=progress)
    for script in folder.glob("usr/lib/erlang/**/bin/erl"):
        text = script.read_text(encoding="utf-8")
        script.write_text(text.replace("/usr/lib/erlang", f"{folder}/usr/lib/erlang"), "utf-8")


def _compiled(folder: Path) -> Iterator[Path]:
    for program in sorted(folder.glob("usr/lib/erlang/erts-*/bin/*")):
        with program.open("rb") as file:
            if file.read(4) == b"\x7fELF":
                yield program


def _write_run(folder: Path, release: str) -> None:
    cowlib = next(folder.glob("usr/lib/rabbitmq/lib/*/plugins/cowlib-*/ebin")).parent
    script = folder / "run"
    script.write_text(RUN.format(folder=folder, release=release, cowlib=cowlib), encoding="utf-8")
    script.chmod(0o755)


def _versions(folder: Path) -> str:
    """Asks the unpacked Elixir, which so has to start."""
    code = 'IO.write(System.version() <> " on Erlang/OTP " <> System.otp_release())'
    command = [str(folder / "run"), "elixir", "-e", code]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        raise SetupError(f"the Elixir in {folder} does not start:\n{result.stderr}", advice="")
    return f"Elixir {result.stdout} in {folder}"


STEPS = tuple(
    Step(
        name=release,
        find=partial(find_release, release=release),
        make=partial(make_release, release=release),
    )
    for release in RELEASES
)
