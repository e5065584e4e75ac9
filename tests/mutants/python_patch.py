"""Puts the code of a changed function in the place of the one that runs."""

from __future__ import annotations

import ast
import gc
from collections.abc import Iterator
from types import CodeType, FunctionType

from tests.mutants.mutation import Mutation, offsets

# A function: its file in the tree, its qualified name, its first line.
Key = tuple[str, str, int]


def key_of(code: CodeType, path: str) -> Key:
    """Returns what a function of a file is known by."""
    return path, code.co_qualname, code.co_firstlineno


def changed_function(path: str, source: str, mutation: Mutation) -> CodeType | None:
    """Returns the code of the outermost function with a change in its body.

    None for a change anywhere else, which is made when the module is imported.
    """
    starts = offsets(source)
    for node in _functions(ast.parse(source)):
        body, last = node.body[0], node.body[-1]
        assert last.end_lineno is not None
        if starts[body.lineno - 1] <= mutation.start < starts[last.end_lineno]:
            first = min([node.lineno, *(it.lineno for it in node.decorator_list)])
            changed = compile(mutation.apply(source), path, "exec", dont_inherit=True)
            return next(
                (
                    it
                    for it in _codes(changed)
                    if it.co_firstlineno == first and it.co_name == node.name
                ),
                None,
            )
    return None


def _functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """The functions of a module and of its classes, without those within functions."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node
        else:
            yield from _functions(node)


def _codes(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from _codes(constant)


def patch(path: str, changed: CodeType) -> bool:
    """Has every function object of a file with this name and line run the changed code.

    Functions within it that exist already, as those that a decorator has returned, change with it.
    Returns whether there was one, and whether the code fits.
    """
    found = [
        it
        for it in gc.get_objects()
        if isinstance(it, FunctionType) and it.__code__.co_filename.endswith("/" + path)
    ]
    name, line = changed.co_qualname, changed.co_firstlineno
    outer = [
        it for it in found if it.__code__.co_qualname == name and it.__code__.co_firstlineno == line
    ]
    if not outer:
        return False
    pairs = {outer[0].__code__: changed}
    before, after = list(_codes(outer[0].__code__)), list(_codes(changed))
    if [it.co_name for it in before] == [it.co_name for it in after]:
        pairs.update(zip(before, after, strict=True))
    try:
        for function in found:
            if (code := pairs.get(function.__code__)) is not None:
                function.__code__ = code
    except ValueError:
        return False  # Another number of free variables.
    return True
