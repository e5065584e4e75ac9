"""Changes the sources at random places and says which changes the tests do not notice.

    python -m tests.mutants [--sample 10] [--seed 1] [--stages 3] [--language python] [MODULE …]

A module is a path below `python_worker/` or `elixir/lib/`, without its suffix, or the beginning of
one. The same seed makes the same changes. Everything runs in a copy of the tree.

Each change is tried against unit tests first: in Python those that call the changed function,
nearest first, else the module's own and those of its folder. Then come tests with a worker. A test
that fails without a change is left out, and named. A change that ends no test and no run in its
time hangs, which a test notices too, and is counted apart. What cannot be noticed stands in
`equivalents.toml` with its reason.
"""

from __future__ import annotations

import argparse
import ast
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from tests.mutants import elixir_source, python_source
from tests.mutants.elixir_runs import ElixirRuns
from tests.mutants.modules import ROOT, Module, elixir_modules, python_modules
from tests.mutants.mutation import Mutation, read, sample
from tests.mutants.outcome import Outcome
from tests.mutants.python_runs import PythonRuns
from tests.mutants.report import Report, Tried, equivalents
from tests.mutants.stages import FileRuns, Stages


class Runs(FileRuns, Protocol):
    """Runs tests against changed sources."""

    def prepare(self, modules: Sequence[Module]) -> str:
        """Gets ready for the changes of modules; returns what to say of it."""

    def tried(self, stages: Stages, mutation: Mutation, source: str) -> Outcome:
        """Runs the tests against one change until one notices it."""

    def close(self) -> None:
        """Ends what runs."""


def main(argv: Sequence[str]) -> int:
    """Tries the changes, and prints the table; returns the exit status."""
    parser = argparse.ArgumentParser(prog="mutants", description=__doc__.splitlines()[0])
    parser.add_argument("--sample", type=int, default=10, help="changes for each module")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--stages", type=int, default=3, help="2 leaves out tests with a worker")
    parser.add_argument("--language", choices=("python", "elixir"))
    parser.add_argument("modules", nargs="*")
    options = parser.parse_args(argv)
    report = Report(options.seed)
    # What runs is ended on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        tree = copy_tree(Path(folder) / "tree")
        for language in ("python", "elixir"):
            if options.language in (None, language):
                chosen = list(select(language, options.modules))
                try_language(language, chosen, tree, options, report)
    report.finish()
    return 0


def select(language: str, wanted: Sequence[str]) -> Iterator[Module]:
    """Returns the modules of a language whose names begin as one that is wanted."""
    known = python_modules(table_of_tests()) if language == "python" else elixir_modules()
    for module in known:
        if not wanted or module.name.removeprefix("vllm/").startswith(tuple(wanted)):
            yield module


def table_of_tests() -> dict[str, str]:
    """Returns the table of `test_sources.py`: which file tests a module without one of its name."""
    tree = ast.parse(read(ROOT / "tests/python/unit/test_sources.py"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "TESTED_IN":
            table: dict[str, str] = ast.literal_eval(node.value)
            return table
    raise LookupError("test_sources.py has no TESTED_IN")


def copy_tree(tree: Path) -> Path:
    """Copies the sources, with what git does not ignore, and the build of the Elixir tests."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in listed.stdout.split("\0"):
        if name and (ROOT / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, tree / name)
    for name in ("vendor", "_build/test"):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tree / name, symlinks=True, dirs_exist_ok=True)
    # A changed source is told from its compiled form by its content: many have the same size and
    # are written within one second.
    subprocess.run(
        [
            *(sys.executable, "-m", "compileall", "-q", "--invalidation-mode", "checked-hash"),
            *(str(tree / "python_worker"), str(tree / "tests")),
        ],
        check=False,
    )
    return tree


def try_language(
    language: str,
    modules: Sequence[Module],
    tree: Path,
    options: argparse.Namespace,
    report: Report,
) -> None:
    """Tries the changes of a language's modules."""
    runs: Runs = PythonRuns(tree) if language == "python" else ElixirRuns(tree)
    known = equivalents()
    if language == "elixir":
        found = elixir_source.mutations([ROOT / module.path for module in modules])
    limits: dict[tuple[str, ...], float | None] = {}
    try:
        if modules:
            print(f"{language}: {runs.prepare(modules)}", flush=True)
        for module in modules:
            source = read(ROOT / module.path)
            all_of_it = (
                python_source.mutations(source)
                if language == "python"
                else found[ROOT / module.path]
            )
            tried = Tried(language, module.name)
            stages = Stages(runs, module, options.stages, tried, limits)
            for mutation in sample(all_of_it, options.seed, module.name):
                if tried.counted >= options.sample:
                    break
                if reason := known.get((module.name, mutation.key(source))):
                    tried.add_equivalent(mutation.diff(source, module.path), reason)
                    continue
                outcome = runs.tried(stages, mutation, source)
                tried.add(outcome, mutation.diff(source, module.path), mutation.key(source))
            report.add(tried)
    finally:
        runs.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
