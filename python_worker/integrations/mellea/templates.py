"""Templates that a client writes: what of Jinja they may have, and what their failures mean.

The texts of an instruction have placeholders, and may choose by a condition. Loops and arithmetic
are refused there: a short text with them can keep the worker busy for ever, or fill its memory. The
template of a component is a program, which mellea runs in Jinja's sandbox.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from jinja2 import nodes
from jinja2.exceptions import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from python_worker.exceptions import InvalidArgument

# What a template and its compilation raise. The sandbox raises a TemplateError.
_FAILURES: Final = (
    TemplateError,
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    RecursionError,
    SyntaxError,
    TypeError,
    ValueError,
)

_ALLOWED: Final = (
    nodes.And,
    nodes.Compare,
    nodes.Const,
    nodes.Getattr,
    nodes.Getitem,
    nodes.If,
    nodes.Name,
    nodes.Not,
    nodes.Operand,
    nodes.Or,
    nodes.Output,
    nodes.Template,
    nodes.TemplateData,
)

_FILTERS: Final = frozenset(
    {"capitalize", "default", "join", "length", "lower", "title", "tojson", "trim", "upper"}
)

_ENVIRONMENT: Final = ImmutableSandboxedEnvironment()


def filled(text: str, variables: Mapping[str, Any], parameter: str) -> str:
    """A text with the variables in its placeholders.

    Args:
        text: The text.
        variables: By their names.
        parameter: What the text is, for messages.

    Raises:
        InvalidArgument: It is no template, or has more than placeholders and conditions.
    """
    with refused(parameter):
        tree = _ENVIRONMENT.parse(text)
        for node in tree.find_all(nodes.Node):
            named = isinstance(node, nodes.Filter) and node.name in _FILTERS
            if not (named or isinstance(node, _ALLOWED)):
                raise InvalidArgument(
                    f"{parameter}: a {type(node).__name__.lower()} is not allowed in a text with "
                    "variables; it may have placeholders and conditions",
                    parameter=parameter,
                )
        return _ENVIRONMENT.from_string(tree).render(**variables)


@contextmanager
def refused(parameter: str) -> Iterator[None]:
    """Around the use of a client's template: its failures are the client's.

    Raises:
        InvalidArgument: The template failed.
    """
    try:
        yield
    except InvalidArgument:
        raise
    except _FAILURES as error:
        text = str(error) or type(error).__name__
        raise InvalidArgument(f"{parameter}: the template: {text}", parameter=parameter) from error
