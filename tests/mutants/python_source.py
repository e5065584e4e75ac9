"""The changes that can be made to a Python source, found in its syntax tree.

Left out is what no test can see: annotations, docstrings and other texts, log lines, and numbers of
a thousand and more, which are times and sizes that only a timed test could tell apart.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.mutants.mutation import Mutation, offsets

LARGE = 1000

COMPARISONS: dict[type[ast.cmpop], tuple[str, str]] = {
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
    ast.Lt: ("<", "<="),
    ast.LtE: ("<=", "<"),
    ast.Gt: (">", ">="),
    ast.GtE: (">=", ">"),
    ast.Is: ("is", "is not"),
    ast.IsNot: ("is not", "is"),
    ast.In: ("in", "not in"),
    ast.NotIn: ("not in", "in"),
}
OPERATORS: dict[type[ast.operator], tuple[str, str]] = {
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "//"),
    ast.Div: ("/", "*"),
    ast.FloorDiv: ("//", "*"),
    ast.Mod: ("%", "//"),
    ast.LShift: ("<<", ">>"),
    ast.RShift: (">>", "<<"),
    ast.BitAnd: ("&", "|"),
    ast.BitOr: ("|", "&"),
}
CALLS = {"min": "max", "max": "min", "all": "any", "any": "all"}
LOGS = ("logger.", "warnings.")


def mutations(source: str) -> list[Mutation]:
    """Returns every change, in no order."""
    tree = ast.parse(source)
    finder = _Finder(source)
    finder.visit(tree)
    return finder.found


class _Finder(ast.NodeVisitor):
    """Walks the tree and collects changes."""

    def __init__(self, source: str) -> None:
        self.found: list[Mutation] = []
        self._source = source
        self._lines = source.splitlines(keepends=True)
        self._offsets = offsets(source)

    # --- Places

    def _place(self, line: int, column: int) -> int:
        # The columns of the tree count bytes.
        before = self._lines[line - 1].encode()[:column].decode()
        return self._offsets[line - 1] + len(before)

    def _start(self, node: ast.expr | ast.stmt) -> int:
        return self._place(node.lineno, node.col_offset)

    def _end(self, node: ast.expr | ast.stmt) -> int:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return self._place(node.end_lineno, node.end_col_offset)

    def _replace(self, node: ast.expr | ast.stmt, new: str) -> None:
        self.found.append(Mutation(self._start(node), self._end(node), new))

    def _between(self, left: ast.expr, right: ast.expr, old: str, new: str) -> None:
        start, end = self._end(left), self._start(right)
        position = self._source[start:end].find(old)
        # Not where a comment stands between them.
        if position >= 0 and "#" not in self._source[start:end]:
            begin = start + position
            self.found.append(Mutation(begin, begin + len(old), new))

    def _text(self, node: ast.expr | ast.stmt) -> str:
        return self._source[self._start(node) : self._end(node)]

    # --- What is left out

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        for default in [*node.args.defaults, *node.args.kw_defaults]:
            if default is not None:
                self.visit(default)
        for statement in node.body:
            self.visit(statement)

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        # Without decorators: whether a dataclass is frozen is for who writes the code.
        for statement in node.body:
            self.visit(statement)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        """Nothing of a text."""

    def visit_Assign(self, node: ast.Assign) -> None:
        names = [target.id for target in node.targets if isinstance(target, ast.Name)]
        if "__slots__" not in names:
            self.visit(node.value)

    def visit_Assert(self, node: ast.Assert) -> None:
        """Nothing: it is for the type checker."""

    # --- What is changed

    def visit_Compare(self, node: ast.Compare) -> None:
        operands = [node.left, *node.comparators]
        for index, operator in enumerate(node.ops):
            self._between(operands[index], operands[index + 1], *COMPARISONS[type(operator)])
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        old, new = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        for left, right in zip(node.values, node.values[1:], strict=False):
            self._between(left, right, f"{old} ", f"{new} ")
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        # Types joined by `|` in an expression are none of these: both sides are names of classes.
        if (found := OPERATORS.get(type(node.op))) is not None and not _is_type(node):
            self._between(node.left, node.right, *found)
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        if isinstance(node.op, ast.Not):
            self._replace(node, self._text(node.operand))
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if node.value is True or node.value is False:
            self._replace(node, str(not node.value))
        elif type(node.value) is int and node.value < LARGE:
            self._replace(node, str(node.value + 1))

    def visit_Call(self, node: ast.Call) -> None:
        name = ast.unparse(node.func)
        if name.startswith(LOGS):
            return
        if name in CALLS:
            self._replace(node.func, CALLS[name])
        self.generic_visit(node)

    def _negate(self, node: ast.If | ast.While | ast.IfExp) -> None:
        if ast.unparse(node.test) == "TYPE_CHECKING":
            return
        # A comparison or `not` is changed by itself.
        if not isinstance(node.test, ast.Compare | ast.UnaryOp | ast.Constant):
            self._replace(node.test, f"not ({self._text(node.test)})")
        self.generic_visit(node)

    visit_If = visit_While = visit_IfExp = _negate

    def visit_Break(self, node: ast.Break) -> None:
        self._replace(node, "continue")

    def visit_Continue(self, node: ast.Continue) -> None:
        self._replace(node, "break")

    def visit_Return(self, node: ast.Return) -> None:
        if node.value is not None and not _is_none(node.value):
            self._replace(node, "return None")
        self.generic_visit(node)

    def visit_Raise(self, node: ast.Raise) -> None:
        self._replace(node, "pass")
        if node.exc is not None:
            self.visit(node.exc)

    def visit_Expr(self, node: ast.Expr) -> None:
        if isinstance(node.value, ast.Constant):
            return  # a docstring, or `...`
        call = node.value.value if isinstance(node.value, ast.Await) else node.value
        if isinstance(call, ast.Call):
            if ast.unparse(call.func).startswith(LOGS):
                return
            self._replace(node, "pass")
        self.generic_visit(node)


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _is_type(node: ast.BinOp) -> bool:
    return isinstance(node.op, ast.BitOr) and any(map(_names_type, _sides(node)))


def _names_type(node: ast.expr) -> bool:
    if not isinstance(node, ast.Name):
        return _is_none(node)
    return node.id in _BUILT_IN or (node.id[:1].isupper() and not node.id.isupper())


def _sides(node: ast.expr) -> Iterator[ast.expr]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        yield from _sides(node.left)
        yield from _sides(node.right)
    else:
        yield node


_BUILT_IN = frozenset({"int", "str", "float", "bool", "bytes", "list", "dict", "set", "tuple"})
