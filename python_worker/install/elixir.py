"""The steps ``elixir`` and ``dialyzer``: from the operating system's packages, where it has apt."""

from __future__ import annotations

import re
import shutil
import subprocess

from python_worker.install.progress import Progress, SetupError
from python_worker.install.steps import Options, apt

# Of Debian 12, the oldest pair the bridge is tested with.
OLDEST_ELIXIR = (1, 14)
OLDEST_OTP = 25


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
    apt(["update"], progress, advice=by_hand)
    packages = ["elixir", "erlang-dev"]
    apt(["install", "--yes", "--no-install-recommends", *packages], progress, advice=by_hand)
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
    apt(arguments, progress, advice=by_hand)


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
