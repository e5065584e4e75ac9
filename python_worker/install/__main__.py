"""Sets the machine up: Elixir, cowlib and the Python environment, whatever of them is missing.

    python3 -m python_worker.install [STEP …] [--extra cpu|cuda] [--dev] [--json]

The steps are elixir, dialyzer, cowlib and python; without a name, all of them. Every step first
looks, and does nothing if it finds what it wants; running it again is quick. `make setup` calls
it in a clone, `mix vllm.setup` in an application.

It needs nothing but Python's standard library, because it runs before anything is installed.
"""

from __future__ import annotations

import argparse
import glob
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from python_worker.install import environment
from python_worker.install.progress import Progress, SetupError, run

# Of Debian 12, the oldest pair the bridge is tested with.
OLDEST_ELIXIR = (1, 14)
OLDEST_OTP = 25

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, kw_only=True)
class Options:
    """What was asked for on the command line."""

    extra: str
    dev: bool
    root: Path = ROOT


@dataclass(frozen=True, kw_only=True)
class Step:
    """One thing the machine must have.

    Attributes:
        name: Its name on the command line.
        find: Describes what is there already, or None if it is missing.
        make: Gets it; raises SetupError.
    """

    name: str
    find: Callable[[Options], str | None]
    make: Callable[[Options, Progress], None]


# --- elixir


def find_elixir(_options: Options) -> str | None:
    """Looks for an Elixir and an Erlang/OTP new enough."""
    version = _elixir_version()
    if version is None or version[0] < OLDEST_ELIXIR or version[1] < OLDEST_OTP:
        return None
    return _elixir_text(version)


def make_elixir(_options: Options, progress: Progress) -> None:
    """Installs the operating system's Elixir, on systems with apt."""
    by_hand = (
        "install Elixir 1.14 or newer on Erlang/OTP 25 or newer: "
        "https://elixir-lang.org/install.html"
    )
    if (version := _elixir_version()) is not None:
        raise SetupError(f"{_elixir_text(version)} is too old", advice=by_hand)
    if shutil.which("apt-get") is None:
        raise SetupError("Elixir is missing, and there is no apt-get", advice=by_hand)
    _apt(["update"], progress, advice=by_hand)
    packages = ["elixir", "erlang-dev"]
    _apt(["install", "--yes", "--no-install-recommends", *packages], progress, advice=by_hand)
    if find_elixir(_options) is None:
        version = _elixir_version()
        found = _elixir_text(version) if version else "nothing that runs"
        raise SetupError(f"this system's packages brought {found}", advice=by_hand)


def find_dialyzer(options: Options) -> str | None:
    """Looks for Erlang's dialyzer, which only the tools of `make test` need."""
    if not options.dev:
        return "not needed without --dev"
    return shutil.which("dialyzer")


def make_dialyzer(_options: Options, progress: Progress) -> None:
    """Installs the operating system's dialyzer, which Debian keeps apart from Erlang."""
    by_hand = "install the dialyzer of your Erlang/OTP"
    if shutil.which("apt-get") is None:
        raise SetupError("dialyzer is missing, and there is no apt-get", advice=by_hand)
    arguments = ["install", "--yes", "--no-install-recommends", "erlang-dialyzer"]
    _apt(arguments, progress, advice=by_hand)


def _elixir_version() -> tuple[tuple[int, ...], int] | None:
    if shutil.which("elixir") is None:
        return None
    try:
        text = subprocess.run(
            ["elixir", "--version"], capture_output=True, text=True, timeout=30, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    elixir = re.search(r"^Elixir (\d+)\.(\d+)\.(\d+)", text, re.MULTILINE)
    otp = re.search(r"^Erlang/OTP (\d+)", text, re.MULTILINE)
    if elixir is None or otp is None:
        return None
    return tuple(int(part) for part in elixir.groups()), int(otp[1])


def _elixir_text(version: tuple[tuple[int, ...], int]) -> str:
    return f"Elixir {'.'.join(map(str, version[0]))} on Erlang/OTP {version[1]}"


def _apt(arguments: Sequence[str], progress: Progress, *, advice: str) -> None:
    progress.say(f"apt-get {' '.join(arguments)}")
    run(
        [*([] if os.geteuid() == 0 else ["sudo"]), "apt-get", "-q", *arguments],
        log=environment.cache_dir() / "setup-apt.log",
        progress=progress,
        news=lambda line: line if line.startswith(("Get:", "Unpacking", "Setting up")) else None,
        env={"DEBIAN_FRONTEND": "noninteractive"},
        advice=advice,
    )


# --- cowlib


def find_cowlib(options: Options) -> str | None:
    """Looks for cowlib's compiled modules: the unpacked ones, then the ones Hex brought."""
    for folder in ("vendor/cowlib/ebin", "deps/cowlib/ebin"):
        app = options.root / folder / "cowlib.app"
        if app.is_file():
            version = re.search(r'\{vsn,\s*"([^"]+)"', app.read_text(encoding="utf-8"))
            return f"cowlib {version[1] if version else '?'} in {folder}"
    if (options.root / "deps/cowlib").is_dir():  # fetched, not yet compiled
        return "cowlib from Hex in deps/cowlib"
    return None


def make_cowlib(options: Options, progress: Progress) -> None:
    """Gets cowlib from Hex where Hex is installed and answers, else from Debian's RabbitMQ.

    Debian builds cowlib 2 only as a part of its rabbitmq-server package (`erlang-cowlib` is 1.3,
    which knows no HTTP/2 state machine). The package is downloaded and unpacked, not installed.
    """
    if _hex_is_installed():
        progress.say("mix deps.get")
        try:
            log = environment.cache_dir() / "setup-cowlib.log"
            run(["mix", "deps.get"], log=log, progress=progress, cwd=options.root)
            return
        except SetupError:
            progress.say("Hex does not answer; trying the operating system's build")
    cached = environment.cache_dir() / "cowlib"
    if not (cached / "ebin" / "cowlib.app").is_file():
        _unpack_cowlib(cached, progress)
    _copy_whole(cached, options.root / "vendor" / "cowlib")


def _hex_is_installed() -> bool:
    home = os.environ.get("MIX_HOME") or os.path.expanduser("~/.mix")
    archives = os.environ.get("MIX_ARCHIVES") or f"{home}/archives"
    return any(
        glob.glob(pattern) for pattern in (f"{archives}/hex-*", f"{home}/elixir/*/archives/hex-*")
    )


def _unpack_cowlib(target: Path, progress: Progress) -> None:
    advice = "install Hex (`mix local.hex`) and run `mix deps.get`"
    if shutil.which("apt-get") is None:
        raise SetupError("cowlib is missing, and there is neither Hex nor apt-get", advice=advice)
    log = environment.cache_dir() / "setup-cowlib.log"
    # As root, apt downloads as the user _apt, who may not write here, and warns about it.
    download = ["apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", "rabbitmq-server"]
    with tempfile.TemporaryDirectory(prefix="vllm_bridge-cowlib-") as name:
        folder = Path(name)
        progress.say("downloading Debian's build of cowlib (in rabbitmq-server, 15 MB)")
        try:
            run(download, log=log, progress=progress, cwd=folder)
        except SetupError:  # no package lists yet, or old ones
            _apt(["update"], progress, advice=advice)
            run(download, log=log, progress=progress, cwd=folder, advice=advice)
        package = next(folder.glob("rabbitmq-server_*.deb"))
        run(["dpkg", "-x", str(package), name], log=log, progress=progress, advice=advice)
        found = sorted(folder.glob("usr/lib/rabbitmq/lib/*/plugins/cowlib-*/ebin"))
        if not found:
            raise SetupError(f"{package.name} holds no unpacked cowlib", advice=advice)
        _copy_whole(found[-1].parent, target)


def _copy_whole(source: Path, target: Path) -> None:
    """Copies `source/ebin` so that `target` appears complete or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(target, ignore_errors=True)
    temporary = target.with_name(f"{target.name}.{os.getpid()}")
    shutil.copytree(source / "ebin", temporary / "ebin")
    temporary.replace(target)


# --- python


def find_python(options: Options) -> str | None:
    """Looks for a whole environment with the requirements of pyproject.toml."""
    if not environment.python_is_suitable():
        return None
    return environment.find(_wanted(options))


def make_python(options: Options, progress: Progress) -> None:
    """Makes the environment, with the Python this module runs on."""
    if not environment.python_is_suitable():
        raise SetupError(
            f"Python {sys.version.split()[0]} ({sys.executable}) is not one vLLM's wheels are for",
            advice="put Python 3.11, 3.12 or 3.13 on the PATH and run set-up again",
        )
    if importlib.util.find_spec("ensurepip") is None:  # Debian has it in a package of its own
        package = f"python{environment.python_version()}-venv"
        advice = f"install {package}, or a Python whose `python -m venv` works"
        _apt(["update"], progress, advice=advice)
        _apt(["install", "--yes", "--no-install-recommends", package], progress, advice=advice)
    environment.make(_wanted(options), progress=progress)


def _wanted(options: Options) -> environment.Wanted:
    return environment.read_wanted(
        options.root / "pyproject.toml", extra=options.extra, dev=options.dev
    )


# --- the steps, in the order they are done

STEPS = (
    Step(name="elixir", find=find_elixir, make=make_elixir),
    Step(name="dialyzer", find=find_dialyzer, make=make_dialyzer),
    Step(name="cowlib", find=find_cowlib, make=make_cowlib),
    Step(name="python", find=find_python, make=make_python),
)


def do(step: Step, options: Options) -> dict[str, object]:
    """Does one step and returns its result: name, status, detail and seconds.

    The status is "present", "installed" or "failed"; only a failure has "advice".
    """
    progress = Progress(step.name)
    result: dict[str, object] = {"name": step.name}
    try:
        found, status = step.find(options), "present"
        if found is None:
            step.make(options, progress)
            found, status = step.find(options), "installed"
        progress.finish(f"{status}, {found}")
        result.update(status=status, detail=found)
    except SetupError as error:
        progress.finish(f"FAILED, {error}\n  what to do: {error.advice}\n  after")
        result.update(status="failed", detail=str(error), advice=error.advice)
    return {**result, "seconds": round(progress.seconds, 3)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Does the steps in turn and stops at the first that fails."""
    parser = argparse.ArgumentParser(
        prog="python3 -m python_worker.install",
        description="Install what is missing of Elixir, cowlib and the Python environment.",
    )
    names = [step.name for step in STEPS]
    parser.add_argument("steps", nargs="*", metavar="step", help=f"of {', '.join(names)}")
    parser.add_argument("--extra", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("--dev", action="store_true", help="add the tools `make test` needs")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    parsed = parser.parse_args(arguments)
    if unknown := sorted(set(parsed.steps) - set(names)):
        parser.error(f"no step is called {', '.join(unknown)}; there are {', '.join(names)}")
    options = Options(extra=parsed.extra, dev=parsed.dev)
    results = []
    for step in STEPS:
        if not parsed.steps or step.name in parsed.steps:
            results.append(do(step, options))
            if results[-1]["status"] == "failed":
                break
    if parsed.json:
        print(json.dumps(results, indent=2))
    return 1 if results[-1]["status"] == "failed" else 0


def run_on_suitable_python() -> None:
    """Starts this module again on a Python that vLLM accepts, if this one is not and one is found.

    `python3` may be too old or too new while `python3.12` lies beside it.
    """
    if environment.python_is_suitable():
        return
    for name in ("python3.11", "python3.12", "python3.13"):
        path = shutil.which(name)
        # A version manager's stand-in can be on the PATH without the version behind it.
        if path and subprocess.run([path, "-c", ""], capture_output=True).returncode == 0:
            os.execv(path, [path, "-m", "python_worker.install", *sys.argv[1:]])


if __name__ == "__main__":
    run_on_suitable_python()
    sys.exit(main())
