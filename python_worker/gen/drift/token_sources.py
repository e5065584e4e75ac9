"""The sources that the direct token path relies on, in a vLLM that is read as text.

`python -m python_worker.gen.drift.token_sources` says which token path the installed vLLM gets,
without importing it; `mix vllm.doctor` runs it.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import sys
from collections.abc import Iterator, Mapping

from python_worker.gen.drift.package import Package, installed, read_package
from python_worker.gen.drift.surface_source import version
from python_worker.streaming import known_sources

Sources = Mapping[str, Mapping[str, str] | None]
"""Class → method → checksum of the method's source; None for a class that does not exist."""

HEADING = "Sources that the direct token path relies on"

DIFFERENT = ("  gone", "  changed")
"""How the lines of the report start that name a difference."""


def read(package: Package) -> Sources:
    """Reads the sources of every class that the direct token path relies on."""
    return {
        path: _class_sources(package, path, frozenset(known_sources.known_checksums(role)))
        for role, classes in known_sources.SOURCES.items()
        for path in classes
    }


def _class_sources(
    package: Package, path: str, methods: frozenset[str]
) -> Mapping[str, str] | None:
    found = package.locate(path)
    # At run time it is imported by this path, so a class that has moved does not exist.
    if found is None or f"{found[0].name}.{found[1].name}" != path:
        return None
    module, cls = found
    return {
        node.name: checksum(_source(module.lines, node))
        for node in cls.body
        if isinstance(node, ast.FunctionDef) and node.name in methods
    }


def _source(lines: list[str], node: ast.FunctionDef) -> str:
    """The source of a function, as `inspect.getsource` gives it for the living one."""
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    return "".join(inspect.getblock(lines[first - 1 :]))


def checksum(source: str) -> str:
    """The SHA-256 of a source; the worker's table holds the start of it."""
    return hashlib.sha256(source.encode()).hexdigest()


def unknown(sources: Sources, vllm_version: str) -> Iterator[str]:
    """Yields a sentence for each class or method that keeps tokens from the direct path."""
    for role, classes in known_sources.SOURCES.items():
        known = known_sources.known_checksums(role)
        for path, methods in classes.items():
            found = sources[path]
            if found is None:
                yield known_sources.why_missing(vllm_version, path)
                continue
            for method in _unknown_methods(found, methods, known):
                qualname = f"{path.rpartition('.')[2]}.{method}"
                yield known_sources.why_unknown(vllm_version, qualname)


def _unknown_methods(
    found: Mapping[str, str], expected: Mapping[str, object], known: Mapping[str, frozenset[str]]
) -> list[str]:
    """The methods whose source is not known, or that the class does not define any more."""
    changed = [name for name, value in found.items() if value[:16] not in known[name]]
    return [*changed, *(name for name in expected if name not in found)]


def report(ours: Sources, other: Sources, other_version: str) -> list[str]:
    """Compares the sources of two versions, class by class.

    Returns:
        The lines of the report: each class as same, changed or gone, and the token path that
        follows; none if neither version has any of the classes.
    """
    if not any(sources is not None for sources in (*ours.values(), *other.values())):
        return []
    obstacles = list(unknown(other, other_version))
    lines = [f"  {_state(ours[path], other[path], path)}" for path in other]
    path = "outputs" if obstacles else "direct"
    return ["", HEADING, *lines, f"  token path of vLLM {other_version}: {path}"]


def _state(mine: Mapping[str, str] | None, theirs: Mapping[str, str] | None, path: str) -> str:
    if theirs is None:
        return f"gone     {path}"
    if mine == theirs:
        return f"same     {path}"
    before = mine or {}
    names = [name for name in {**before, **theirs} if before.get(name) != theirs.get(name)]
    return f"changed  {path}: {', '.join(names)}"


def main() -> None:
    """Prints `direct`, or `outputs` and why."""
    try:
        package = read_package(installed(), "vllm")
    except ValueError as error:
        sys.exit(str(error))
    assert package is not None
    reason = next(unknown(read(package), version(package)), None)
    print("direct" if reason is None else f"outputs {reason}")


if __name__ == "__main__":
    main()
