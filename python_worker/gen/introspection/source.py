"""What only the source text of a class knows: annotations as written, and field docs.

vLLM documents a field in one of three ways: a string under it; an entry in the `Args:`
or `Attributes:` section of the class's docstring; or, for AsyncEngineArgs, a string
under the field of the configuration class from which the default is taken, or the help
of the command line option.
"""

from __future__ import annotations

import ast
import inspect
import itertools
import re
import sys
import textwrap
from typing import Any

_SECTION = re.compile(r"^(Args|Attributes|Fields|Parameters):$")
_ENTRY = re.compile(r"^(\s*)(\w+)(?: \([^)]*\))?:\s*(.*)$")


def function_annotations(function: Any) -> dict[str, str]:
    """Gives the annotations of a function as written, `return` among them."""
    node = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return {}
    arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    arguments += [extra for extra in (node.args.vararg, node.args.kwarg) if extra]
    found = {a.arg: ast.unparse(a.annotation) for a in arguments if a.annotation}
    if node.returns:
        found["return"] = ast.unparse(node.returns).strip("'\"")
    return found


def instance_attributes(cls: Any) -> list[str]:
    """Names the public attributes that a class sets in its constructor."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(cls.__init__)))
    names = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Store)
        and isinstance(node.value, ast.Name)
        and node.value.id == "self"
    }
    return sorted(name for name in names if not name.startswith("_"))


def field_annotations(cls: Any) -> dict[str, str]:
    """Gives the annotations of a class's fields as written, its parents' included."""
    found = {
        target: ast.unparse(annotation)
        for base in _lineage(cls)
        for statement in _body(base)
        if isinstance(statement, ast.AnnAssign)
        for target, annotation in [(_target(statement), statement.annotation)]
    }
    if not found:
        found = function_annotations(cls.__init__)
    wrapped = re.compile(r"^(?:NotRequired|Required)\[(.*)\]$")
    return {name: wrapped.sub(r"\1", written).strip("'\"") for name, written in found.items()}


def field_docs(cls: Any) -> dict[str, str]:
    """Gives what vLLM says about each field, in whichever of the three ways it does."""
    found: dict[str, str] = {}
    for base in _lineage(cls):
        found |= _option_help(base)
        found |= _inherited_docs(base)
        found |= docstring_entries(inspect.cleandoc(base.__doc__ or ""))
        found |= _own_docs(base)
    return {name: doc.replace("\t", "    ") for name, doc in found.items()}


def member_docs(cls: Any) -> dict[str, str]:
    """Gives what is said about each member of an enum: a string under it or a comment above."""
    lines = textwrap.dedent(inspect.getsource(cls)).splitlines()
    found: dict[str, str] = {}
    for statement in _body(cls):
        above = lines[statement.lineno - 2].strip()
        if isinstance(statement, ast.Assign) and above.startswith("# "):
            found[_target(statement)] = above.removeprefix("# ")
    return found | _own_docs(cls)


def docstring_entries(doc: str) -> dict[str, str]:
    """Reads `name: text` entries from the sections of a docstring, and outside of them."""
    found: dict[str, list[str]] = {}
    name, depth, inside = "", 0, False
    for line in doc.splitlines():
        indent = len(line) - len(line.lstrip())
        if _SECTION.match(line):
            name, inside = "", True
            continue
        if line.strip() and indent == 0:
            inside = False
        entry = _ENTRY.match(line)
        if entry and (indent == 4 if inside else indent == 0 and "_" in entry[2]):
            name, depth = entry[2], indent
            found[name] = [entry[3]]
        elif line.strip() and indent <= depth:
            name = ""
        elif name:
            found[name].append(line.strip() if line.strip().isascii() else line)
    return {name: "\n".join(lines).strip() for name, lines in found.items()}


def without_sections(doc: str) -> str:
    """Gives a docstring without the sections and entries that `docstring_entries` reads."""
    kept: list[str] = []
    skipping = False
    for line in doc.splitlines():
        if line.strip() and not line.startswith(" "):
            entry = _ENTRY.match(line)
            skipping = bool(_SECTION.match(line) or (entry and "_" in entry[2]))
        if not skipping:
            kept.append(line)
    return "\n".join(kept).strip()


def _lineage(cls: Any) -> list[Any]:
    """The class and its parents within the same package, the most general first.

    A TypedDict forgets its parents; they are still in `__orig_bases__`.
    """
    package = cls.__module__.partition(".")[0]
    bases = [*cls.__mro__, *getattr(cls, "__orig_bases__", ())]
    return [
        base
        for base in dict.fromkeys(reversed(bases))
        if isinstance(base, type) and base.__module__.partition(".")[0] == package
    ]


def _body(cls: Any) -> list[ast.stmt]:
    node = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0]
    return node.body if isinstance(node, ast.ClassDef) else []


def _target(statement: ast.Assign | ast.AnnAssign) -> str:
    target = statement.targets[0] if isinstance(statement, ast.Assign) else statement.target
    return target.id if isinstance(target, ast.Name) else ""


def _own_docs(cls: Any) -> dict[str, str]:
    body = _body(cls)
    found = {}
    for statement, following in itertools.pairwise(body):
        if (
            isinstance(statement, ast.Assign | ast.AnnAssign)
            and isinstance(following, ast.Expr)
            and isinstance(following.value, ast.Constant)
            and isinstance(following.value.value, str)
        ):
            found[_target(statement)] = inspect.cleandoc(following.value.value)
    return found


def _inherited_docs(cls: Any) -> dict[str, str]:
    """Docs of the configuration fields from which this class takes its defaults.

    `model: str = ModelConfig.model` and `x: T = get_field(ModelConfig, "x")` say it
    outright. Where the default is a plain value the configuration classes are searched
    for a field of the same name.
    """
    names = vars(sys.modules[cls.__module__])
    found: dict[str, str] = {}
    configs: dict[str, dict[str, str]] = {}
    plain = []
    for statement in _body(cls):
        if not isinstance(statement, ast.AnnAssign) or statement.value is None:
            continue
        match statement.value:
            case ast.Attribute(value=ast.Name(id=config), attr=field):
                pass
            case ast.Call(
                func=ast.Name(id="get_field"),
                args=[ast.Name(id=config), ast.Constant(value=str(field))],
            ):
                pass
            case _:
                plain.append(_target(statement))
                continue
        owner = names.get(config)
        if isinstance(owner, type) and config.endswith("Config"):
            docs = configs.setdefault(config, _config_docs(owner))
            found[_target(statement)] = docs.get(field, "")
    for name in plain:
        found[name] = next((docs[name] for docs in configs.values() if name in docs), "")
    return {name: doc for name, doc in found.items() if doc}


def _option_help(cls: Any) -> dict[str, str]:
    """Help texts of `add_argument("--enable-lora", help="…")`, by the field's name."""
    if not hasattr(cls, "add_cli_args"):
        return {}
    found = {}
    for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(cls.add_cli_args)))):
        match node:
            case ast.Call(
                func=ast.Attribute(attr="add_argument"),
                args=[ast.Constant(value=str(option)), *_],
                keywords=keywords,
            ):
                for keyword in keywords:
                    if keyword.arg == "help" and isinstance(keyword.value, ast.Constant):
                        name = option.removeprefix("--").replace("-", "_")
                        found[name] = str(keyword.value.value)
    return found


def _config_docs(config: Any) -> dict[str, str]:
    found: dict[str, str] = {}
    for base in _lineage(config):
        found |= _own_docs(base)
    return found
