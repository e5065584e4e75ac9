"""Sets the machine up: Elixir, cowlib and the Python environment, whatever of them is missing.

    python3 -m python_worker.install [STEP …] [--extra cpu|cuda|none] [--with NAME,…]
                                     [--vllm VERSION] [--dev] [--json]

The steps are elixir, dialyzer, cowlib and python; without a name, all of them. Those of ``debian``,
trixie and forky, and ``golang`` are done only where they are named. Every step first looks, and
does nothing if it finds what it wants; running it again is quick. `make setup` calls it in a clone,
`mix vllm.setup` in an application.

It needs nothing but Python's standard library, because it runs before anything is installed.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence

from python_worker.install import debian, environment, golang
from python_worker.install.cowlib import find_cowlib, make_cowlib
from python_worker.install.elixir import find_dialyzer, find_elixir, make_dialyzer, make_elixir
from python_worker.install.progress import Progress, SetupError
from python_worker.install.steps import Options, Step, apt

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
        apt(["update"], progress, advice=advice)
        apt(["install", "--yes", "--no-install-recommends", package], progress, advice=advice)
    environment.make(_wanted(options), progress=progress)


def _wanted(options: Options) -> environment.Wanted:
    return environment.read_wanted(
        options.root / "pyproject.toml",
        extra=options.extra,
        dev=options.dev,
        optional=options.optional,
        vllm=options.vllm,
    )


# --- the steps, in the order they are done

STEPS = (
    Step(name="elixir", find=find_elixir, make=make_elixir),
    Step(name="dialyzer", find=find_dialyzer, make=make_dialyzer),
    Step(name="cowlib", find=find_cowlib, make=make_cowlib),
    Step(name="python", find=find_python, make=make_python),
)

# Done where they are named.
ON_REQUEST = (*debian.STEPS, golang.STEP)


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
    names = [step.name for step in (*STEPS, *ON_REQUEST)]
    parser.add_argument("steps", nargs="*", metavar="step", help=f"of {', '.join(names)}")
    parser.add_argument("--extra", choices=["auto", "cpu", "cuda", "none"], default="auto")
    parser.add_argument(
        "--with",
        dest="optional",
        default="",
        metavar="NAME,…",
        help=f"add systems that run on the engines, of {', '.join(environment.OPTIONAL)}",
    )
    parser.add_argument(
        "--vllm",
        metavar="VERSION",
        help="make an environment with another vLLM beside the usual one",
    )
    parser.add_argument("--dev", action="store_true", help="add everything `make test` needs")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    parsed = parser.parse_args(arguments)
    if unknown := sorted(set(parsed.steps) - set(names)):
        parser.error(f"no step is called {', '.join(unknown)}; there are {', '.join(names)}")
    optional = tuple(filter(None, parsed.optional.split(",")))
    if unknown := sorted(set(optional) - set(environment.OPTIONAL)):
        parser.error(
            f"--with knows no {', '.join(unknown)}; there are {', '.join(environment.OPTIONAL)}"
        )
    options = Options(extra=parsed.extra, dev=parsed.dev, optional=optional, vllm=parsed.vllm)
    results = []
    for step in (*STEPS, *ON_REQUEST):
        if step.name in parsed.steps or (not parsed.steps and step in STEPS):
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
