"""A Python package as source text, from a folder or a wheel: modules, classes, imports.

Nothing is imported, so a vLLM can be read whose torch is not installed.
"""

from __future__ import annotations

import ast
import importlib.util
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path

_CLASS = re.compile(r"^class (\w+)", re.MULTILINE)

_MAX_HOPS = 6
"""How often a name is looked up in the next module that merely imports it."""


class Module:
    """One parsed module.

    Attributes:
        name: Its dotted name.
        lines: Its text, each line with its end.
        classes: Classes at its top level.
        imports: Names that it imports, to where they come from: module and name.
        constants: Strings that it gives a name.
    """

    def __init__(self, name: str, text: str, *, is_package: bool) -> None:
        self.name = name
        self.lines = text.splitlines(keepends=True)
        tree = ast.parse(text)
        self.classes = {
            node.name: node for node in _top_level(tree.body) if isinstance(node, ast.ClassDef)
        }
        self.imports = {
            alias.asname or alias.name: (_origin(name, node, is_package=is_package), alias.name)
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }
        self.constants = {
            target.id: node.value.value
            for node in _top_level(tree.body)
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
            for target in node.targets
            if isinstance(target, ast.Name) and isinstance(node.value.value, str)
        }


class Package:
    """The modules of one package.

    Args:
        sources: By dotted name, what reads its text; packages end in `.__init__`.
    """

    def __init__(self, sources: Mapping[str, Callable[[], str]]) -> None:
        self._sources = sources
        self._modules: dict[str, Module | None] = {}

    def module(self, name: str) -> Module | None:
        """Parses a module, or gives None where there is none."""
        if name not in self._modules:
            self._modules[name] = self._parsed(name)
        return self._modules[name]

    def _parsed(self, name: str) -> Module | None:
        for path in (name, f"{name}.__init__"):
            if path in self._sources:
                return Module(name, self._sources[path](), is_package=path != name)
        return None

    @cached_property
    def _index(self) -> dict[str, list[str]]:
        """The modules in which each class is defined."""
        found: dict[str, list[str]] = {}
        for path, read in self._sources.items():
            for name in _CLASS.findall(read()):
                found.setdefault(name, []).append(path.removesuffix(".__init__"))
        return found

    def locate(self, qualname: str) -> tuple[Module, ast.ClassDef] | None:
        """Finds a class where it was, or else by its name, the nearest first."""
        home, _, name = qualname.rpartition(".")
        module = self.module(home)
        if module and name in module.classes:
            return module, module.classes[name]
        # Only now, because it reads every module.
        candidates = sorted(
            self._index.get(name, []), key=lambda path: (-_shared(home, path), len(path), path)
        )
        for path in candidates:
            module = self.module(path)
            if module and name in module.classes:
                return module, module.classes[name]
        return None

    def resolve(self, module: Module, name: str) -> tuple[Module, ast.ClassDef] | None:
        """Finds the class that a name means in a module; None for one of other packages."""
        for _hop in range(_MAX_HOPS):
            if name in module.classes:
                return module, module.classes[name]
            if name not in module.imports:
                return None
            origin, name = module.imports[name]
            following = self.module(origin)
            if following is None:
                return None
            module = following
        return None

    def lineage(self, module: Module, node: ast.ClassDef) -> list[tuple[Module, ast.ClassDef]]:
        """Gives the class and its parents within the package, the most general first."""
        found: list[tuple[Module, ast.ClassDef]] = []
        for base in node.bases:
            expression = base.value if isinstance(base, ast.Subscript) else base
            parent = self.resolve(module, ast.unparse(expression).rpartition(".")[2])
            if parent:
                found += [known for known in self.lineage(*parent) if known not in found]
        return [*found, (module, node)]


def installed(name: str = "vllm") -> Path:
    """Finds the folder of an installed package without importing it.

    Raises:
        ValueError: There is none.
    """
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise ValueError(f"the package {name} is not installed")
    return Path(next(iter(spec.submodule_search_locations)))


def read_package(path: Path, name: str) -> Package | None:
    """Opens a package in a wheel, in the folder that contains it, or given as that folder.

    Returns:
        The package, or None where there is no such package.
    """
    if path.is_file() and zipfile.is_zipfile(path):
        archive = zipfile.ZipFile(path)
        sources = {
            _dotted(entry): _entry_reader(archive, entry)
            for entry in archive.namelist()
            if entry.startswith(f"{name}/") and entry.endswith(".py")
        }
        return Package(sources) if sources else None
    root = path.parent if path.name == name and (path / "__init__.py").exists() else path
    files = sorted((root / name).rglob("*.py"))
    readers = {_dotted(f.relative_to(root).as_posix()): _file_reader(f) for f in files}
    return Package(readers) if readers else None


def _entry_reader(archive: zipfile.ZipFile, entry: str) -> Callable[[], str]:
    return lambda: archive.read(entry).decode("utf-8")


def _file_reader(file: Path) -> Callable[[], str]:
    return lambda: file.read_text(encoding="utf-8")


def _dotted(path: str) -> str:
    return path.removesuffix(".py").replace("/", ".")


def _origin(name: str, node: ast.ImportFrom, *, is_package: bool) -> str:
    if not node.level:
        return node.module or ""
    parents = name.split(".")
    parents = parents[: len(parents) - node.level + is_package]
    return ".".join([*parents, *([node.module] if node.module else [])])


def _shared(home: str, path: str) -> int:
    pairs = zip(home.split("."), path.split("."), strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), len(home.split(".")))


def _top_level(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Goes through statements, and into `if` and `try`, where versions are told apart."""
    for node in body:
        yield node
        if isinstance(node, ast.If | ast.Try):
            yield from _top_level(node.body)
            yield from _top_level(node.orelse)
