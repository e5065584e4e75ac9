"""The surface of a vLLM that is only read: its source text, in a folder or a wheel."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterable, Iterator
from typing import Any

from python_worker.gen.drift.package import Module, Package
from python_worker.gen.drift.surface import Class, Method, Surface, Value, vllm_classes
from python_worker.gen.manifest import ENGINES

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_Function = ast.FunctionDef | ast.AsyncFunctionDef
_Lineage = list[tuple[Module, ast.ClassDef]]


def from_source(package: Package, manifest: dict[str, Any]) -> Surface:
    """Reads of a package what the manifest describes, wherever in the package it is now."""
    classes: dict[str, Class] = {}
    for name, key in ENGINES.items():
        engine = manifest[key]
        private = [m["name"] for m in engine["members"] if m["name"].startswith("_")]
        if found := _located(package, engine["qualname"]):
            lineage, described = found
            methods = _methods(lineage)
            classes[name] = Class(
                *described,
                methods=tuple(m for m in methods if m.name in private or not _private(m.name)),
                attributes=tuple(_attributes(lineage[-1][1])),
            )
    for name, known in vllm_classes(manifest):
        if found := _located(package, known["qualname"]):
            lineage, described = found
            served = {method["name"] for method in known.get("methods", ())}
            classes[name] = Class(
                *described,
                fields=tuple(_fields(package, lineage)),
                methods=tuple(m for m in _methods(lineage) if m.name in served),
            )
    return Surface(version(package), classes)


def _located(package: Package, qualname: str) -> tuple[_Lineage, tuple[str, str]] | None:
    found = package.locate(qualname)
    if found is None:
        return None
    module, node = found
    return package.lineage(module, node), (f"{module.name}.{node.name}", _doc(node))


def version(package: Package) -> str:
    """Reads `__version__` where setuptools-scm or a person has put it."""
    for name in ("vllm._version", "vllm.version", "vllm"):
        module = package.module(name)
        if module and "__version__" in module.constants:
            # A build's own suffix (0.32.0+cpu) is of the build, not of the interface.
            return module.constants["__version__"].partition("+")[0]
    return "of unknown version"


# --- Methods -------------------------------------------------------------------


def _methods(lineage: _Lineage) -> list[Method]:
    found: dict[str, Method] = {}
    for _module, node in lineage:
        for function in node.body:
            if isinstance(function, _FUNCTIONS) and (kind := _kind(function)):
                overridden = found.get(function.name)
                found[function.name] = Method(
                    name=function.name,
                    kind=kind,
                    parameters=() if kind == "property" else tuple(_parameters(function)),
                    returns=ast.unparse(function.returns) if function.returns else "",
                    # One without words has those of what it overrides, as inspect.getdoc gives.
                    doc=_doc(function) or (overridden.doc if overridden else ""),
                )
    return sorted(found.values(), key=lambda method: method.name)


def _kind(function: _Function) -> str | None:
    """Says what a function of a class is; None for setters and overloads."""
    decorators = {ast.unparse(decorator) for decorator in function.decorator_list}
    if decorators & {"property", "cached_property", "functools.cached_property"}:
        return "property"
    if any(d.endswith((".setter", ".deleter", "overload")) for d in decorators):
        return None
    if "classmethod" in decorators:
        return "classmethod"
    if function.name == "__init__":
        return "constructor"
    if isinstance(function, ast.AsyncFunctionDef):
        return "async_generator" if _yields(function) else "coroutine"
    return "function"


def _yields(function: _Function) -> bool:
    """Whether the function itself yields, not one that it defines."""
    pending: list[ast.AST] = list(function.body)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Yield | ast.YieldFrom):
            return True
        if not isinstance(node, (*_FUNCTIONS, ast.Lambda)):
            pending += ast.iter_child_nodes(node)
    return False


def _parameters(function: _Function) -> Iterator[Value]:
    given = function.args
    positional = [*given.posonlyargs, *given.args]
    defaults = [None] * (len(positional) - len(given.defaults)) + list(given.defaults)
    for argument, default in list(zip(positional, defaults, strict=True))[1:]:
        yield _parameter(argument, default, "positional")
    if given.vararg:
        yield _parameter(given.vararg, None, "var_positional")
    for argument, default in zip(given.kwonlyargs, given.kw_defaults, strict=True):
        yield _parameter(argument, default, "keyword")
    if given.kwarg:
        yield _parameter(given.kwarg, None, "var_keyword")


def _parameter(argument: ast.arg, default: ast.expr | None, kind: str) -> Value:
    annotation = ast.unparse(argument.annotation) if argument.annotation else ""
    return Value(argument.arg, annotation, ast.unparse(default) if default else None, kind)


def _attributes(node: ast.ClassDef) -> Iterable[str]:
    """Names the public attributes that a class sets in its constructor."""
    constructor = next((f for f in node.body if getattr(f, "name", "") == "__init__"), None)
    return sorted(
        {
            target.attr
            for target in (ast.walk(constructor) if constructor else ())
            if isinstance(target, ast.Attribute)
            and isinstance(target.ctx, ast.Store)
            and ast.unparse(target.value) == "self"
            and not _private(target.attr)
        }
    )


# --- Fields --------------------------------------------------------------------


def _fields(package: Package, lineage: _Lineage) -> list[Value]:
    """Gives annotated fields, an enum's members, or else the parameters of the constructor."""
    found: dict[str, Value] = {}
    is_enum = any("Enum" in ast.unparse(b) for _module, node in lineage for b in node.bases)
    for module, node in lineage:
        for statement in node.body:
            match statement:
                case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation, value=value):
                    written = ast.unparse(annotation)
                    if not _private(name) and "ClassVar" not in written:
                        default = _default(package, module, value) if value else None
                        found[name] = Value(name, written, default)
                case ast.Assign(targets=[ast.Name(id=name)]) if is_enum and not _private(name):
                    found[name] = Value(name)
    if found:
        return list(found.values())
    constructor = next((m for m in _methods(lineage) if m.name == "__init__"), None)
    parameters = constructor.parameters if constructor else ()
    return [Value(p.name, p.annotation, p.default) for p in parameters if "var" not in p.kind]


def _default(package: Package, module: Module, value: ast.expr) -> str:
    """Gives a default; of one that is taken from a configuration class, what it is there.

    `model: str = ModelConfig.model` and `x: T = get_field(ModelConfig, "x")` say that.
    """
    match value:
        case ast.Attribute(value=ast.Name(id=config), attr=field):
            pass
        case ast.Call(
            func=ast.Name(id="get_field"),
            args=[ast.Name(id=config), ast.Constant(value=str(field))],
        ):
            pass
        case ast.Call(func=ast.Name(id="field" | "Field"), keywords=keywords):
            given = {keyword.arg: keyword.value for keyword in keywords}
            if "default" in given:
                return _default(package, module, given["default"])
            if "default_factory" in given:
                return f"{ast.unparse(given['default_factory'])}()"
            return ast.unparse(value)
        case _:
            return ast.unparse(value)
    owner = package.resolve(module, config)
    for parent, node in reversed(package.lineage(*owner) if owner else []):
        for statement in node.body:
            match statement:
                case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as found) if (
                    name == field
                ):
                    return _default(package, parent, found)
    return ast.unparse(value)


def _private(name: str) -> bool:
    return name.startswith("_")


def _doc(node: ast.ClassDef | _Function) -> str:
    return inspect.cleandoc(ast.get_docstring(node) or "")
