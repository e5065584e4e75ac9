"""Which changes `make mutants` makes of a source, and that a seed makes them again."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.mutants import elixir_source, python_source
from tests.mutants.__main__ import table_of_tests
from tests.mutants.modules import ROOT, elixir_modules, python_modules
from tests.mutants.mutation import Mutation, read, sample
from tests.mutants.outcome import Outcome
from tests.mutants.python_patch import changed_function, patch
from tests.mutants.report import Report, Tried, equivalents

PYTHON = {
    "if a == b: pass": {"if a != b: pass"},
    "x = a < b <= c": {"x = a <= b <= c", "x = a < b < c"},
    "x = a is not None": {"x = a is None"},
    "x = a not in b": {"x = a in b"},
    "x = a and b and c": {"x = a or b and c", "x = a and b or c"},
    "x = not a": {"x = a"},
    "x = a + 1": {"x = a - 1", "x = a + 2"},
    "x = min(a)": {"x = max(a)"},
    "X = 5000": set(),
    "x: int | None = True": {"x: int | None = False"},
    "def f(a: int = 1) -> int | None:\n    return a": {
        "def f(a: int = 2) -> int | None:\n    return a",
        "def f(a: int = 1) -> int | None:\n    return None",
    },
    'def f():\n    """Not 1."""\n    g(2)': {
        'def f():\n    """Not 1."""\n    pass',
        'def f():\n    """Not 1."""\n    g(3)',
    },
    "while a:\n    break": {"while not (a):\n    break", "while a:\n    continue"},
    "raise A(b == c)": {"pass", "raise A(b != c)"},
    'logger.info("%d", 1)': set(),
    'x = f"{a == b}"': set(),
    'x = "ä" == b': {'x = "ä" != b'},
    "assert a == b": set(),
    "@dataclass(frozen=True)\nclass A:\n    x: int = 1": {
        "@dataclass(frozen=True)\nclass A:\n    x: int = 2"
    },
}

ELIXIR = {
    "a == b": {"a != b"},
    "a and not b": {"a or not b", "a and b"},
    "if a, do: 1": {"unless a, do: 1", "if a, do: 2"},
    "Enum.any?(a)": {"Enum.all?(a)"},
    "def f(a) when a > 1_000, do: true": {
        "def f(a) when a >= 1_000, do: true",
        "def f(a) when a > 1_000, do: false",
    },
    "@doc since: 1\n@spec f(1) :: 2\n@limit 3": {"@doc since: 1\n@spec f(1) :: 2\n@limit 4"},
    "def f do\n  g(a)\n  h(b)\nend": {"def f do\n  :ok\n  h(b)\nend"},
    "def f do\n  a = g(b)\n  Logger.info(a)\n  a\nend": set(),
    "defmacro m, do: 1": set(),
    "<<a::8, 1>>": {"<<a::8, 2>>"},
}


DIFF = "--- it.py\n+++ it.py\n@@ -1 +1 @@\n-a\n+b"


def changed(source: str, mutations: list[Mutation]) -> set[str]:
    return {mutation.apply(source) for mutation in mutations}


@pytest.mark.parametrize("source", PYTHON)
def test_the_changes_of_a_python_source(source: str) -> None:
    assert changed(source, python_source.mutations(source)) == PYTHON[source]


@pytest.mark.skipif(shutil.which("elixir") is None, reason="elixir is not installed")
def test_the_changes_of_elixir_sources(tmp_path: Path) -> None:
    paths = {source: tmp_path / f"{place}.ex" for place, source in enumerate(ELIXIR)}
    for source, path in paths.items():
        path.write_text(source, encoding="utf-8")
    found = elixir_source.mutations(list(paths.values()))
    assert {source: changed(source, found[path]) for source, path in paths.items()} == ELIXIR


def test_a_seed_makes_the_same_sample_and_takes_every_place_once_first() -> None:
    source = "x = a + 1 < b and c or d == e"
    mutations = python_source.mutations(source)
    first = sample(mutations, 1, "it")
    assert first == sample(list(reversed(mutations)), 1, "it")
    assert sorted(first) == sorted(mutations)
    assert first != sample(mutations, 2, "it")
    doubled = [Mutation(0, 1, "y"), Mutation(0, 1, "z"), Mutation(4, 5, "y"), Mutation(4, 5, "z")]
    assert [it.start for it in sample(doubled, 1, "it")[:2]] in ([0, 4], [4, 0])


def test_a_change_is_known_by_its_lines_wherever_they_are() -> None:
    change, moved = Mutation(3, 5, "!="), Mutation(7, 9, "!=")
    assert change.key("a  == b") == moved.key("# a\n\na == b") == "- a == b + a != b"
    assert change.diff("a  == b", "m.py").splitlines()[:2] == ["--- m.py", "+++ m.py"]
    assert moved.line("# a\n\na == b") == 3


def test_every_module_has_a_stage_and_every_file_of_a_stage_exists() -> None:
    modules = [*python_modules(table_of_tests()), *elixir_modules()]
    assert [it.name for it in modules if not any(it.stages)] == []
    missing = {f for it in modules for stage in it.stages for f in stage if not (ROOT / f).exists()}
    assert missing == set()
    for module in modules:
        files = [file for stage in module.stages for file in stage]
        assert len(files) == len(set(files))


SOURCE = """
from functools import cache, wraps

LIMIT = 3

def decorated(function):
    @wraps(function)
    def call(x):
        return function(x) + 1
    return call

@decorated
def add(x, y=1):
    return x + y

class It:
    @property
    def size(self):
        return 5
    @size.setter
    def size(self, value):
        self.kept = value

    @cache
    def inner(self):
        return [(lambda n: n < LIMIT)(n) for n in (2, 3)]
"""


@pytest.mark.parametrize(
    ("old", "new", "call", "before", "after"),
    [
        ("return x + y", "return x - y", lambda it: it.add(5), 7, 5),
        # What a decorator has made already.
        ("function(x) + 1", "function(x) + 2", lambda it: it.add(5), 7, 8),
        ("return 5", "return 6", lambda it: it.It().size, 5, 6),
        ("n < LIMIT", "n <= LIMIT", lambda it: it.It().inner(), [True, False], [True, True]),
    ],
)
def test_a_change_of_a_function_is_put_in_its_place(
    tmp_path: Path, old: str, new: str, call: Callable[[Any], object], before: object, after: object
) -> None:
    path = tmp_path / "it.py"
    it = ModuleType("it")
    exec(compile(SOURCE, str(path), "exec"), it.__dict__)
    assert call(it) == before
    start = SOURCE.index(old)
    code = changed_function("it.py", SOURCE, Mutation(start, start + len(old), new))
    assert code is not None
    assert patch("it.py", code)
    assert call(it) == after


@pytest.mark.parametrize("place", ["LIMIT = 3", "y=1"])
def test_a_change_that_is_made_when_a_module_is_imported_is_told_apart(place: str) -> None:
    end = SOURCE.index(place) + len(place)
    assert changed_function("it.py", SOURCE, Mutation(end - 1, end, "9")) is None


def test_code_that_does_not_fit_is_not_put_there(tmp_path: Path) -> None:
    it = ModuleType("it")
    exec(compile(SOURCE, str(tmp_path / "it.py"), "exec"), it.__dict__)
    text = "return function(x) + 1"
    start = SOURCE.index(text)
    # Without its free variable.
    code = changed_function("it.py", SOURCE, Mutation(start, start + len(text), "return None"))
    assert code is not None
    assert not patch("it.py", code)
    assert not patch("other.py", code)


def test_an_equivalent_is_of_a_module_and_has_a_reason() -> None:
    names = {it.name for it in (*python_modules(table_of_tests()), *elixir_modules())}
    for (module, change), reason in equivalents().items():
        assert module in names
        assert change.startswith("- ")
        assert reason


def test_a_report_counts_and_shows_what_was_not_noticed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    report, tried = Report(7), Tried("python", "codec/it")
    for kind in ("killed", "killed", "hang", "passed", "invalid"):
        tried.add(Outcome(kind, "a test"), DIFF, "- a + b")
    tried.add_equivalent("- c\n+ d", "the reason")
    tried.unsound.append("test_it.py: killed test_it")
    report.add(tried)
    report.finish()
    said = capsys.readouterr().out
    assert tried.counted == 4
    assert "seed 7" in said
    assert "fails without a change: test_it.py" in said
    assert "== Not noticed: 1\n\npython codec/it: - a + b\n" + DIFF in said
    assert "== Cannot be noticed: 1\n\npython codec/it: the reason" in said
    assert "    not noticed: @@ -1 +1 @@ - a + b" in said
    assert "3 of 4, 75.0 %" in said


def test_the_sources_of_the_worker_can_be_read() -> None:
    source = read(ROOT / "python_worker/validation/signatures.py")
    found = {it.diff(source, "") for it in python_source.mutations(source)}
    assert any("-                break\n+                continue" in it for it in found)
