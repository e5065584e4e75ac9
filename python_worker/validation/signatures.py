"""Checks the arguments of a call against the parameters of a method.

The annotations are read from the installed class. The checks of a method are made once.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

from python_worker.exceptions import InvalidArgument
from python_worker.validation.annotations import checker
from python_worker.validation.constraints import check_of
from python_worker.validation.scalars import Check, anything
from python_worker.validation.type_hints import hints_of


@dataclasses.dataclass(frozen=True)
class Signature:
    """The parameters of one method, each with its check.

    Attributes:
        name: The name of the method.
        signature: The signature without ``self``.
        checks: The check of each parameter.
        positional: The parameters that may be given by position, in order. None if the method
            has ``*args``, ``**kwargs`` or positional-only parameters.
        required: The parameters without a default.
    """

    name: str
    signature: inspect.Signature
    checks: Mapping[str, Check]
    positional: tuple[str, ...] | None
    required: frozenset[str]

    def bind(
        self, args: Sequence[object], kwargs: Mapping[str, object]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Checks the arguments of a call, and returns those to call the method with.

        Raises:
            InvalidArgument: An argument is missing, unknown or of the wrong type.
        """
        arguments = self._by_name(args, kwargs)
        if arguments is None:
            return self._bind_with_inspect(args, kwargs)
        checks = self.checks
        for name, value in arguments.items():
            arguments[name] = checks[name](value, name)
        assert self.positional is not None
        by_position = []
        for name in self.positional:
            if name not in arguments:
                break
            by_position.append(arguments.pop(name))
        return tuple(by_position), arguments

    def _by_name(
        self, args: Sequence[object], kwargs: Mapping[str, object]
    ) -> dict[str, Any] | None:
        """Returns the arguments by name; None if that needs ``inspect``.

        ``inspect`` handles every kind of parameter and every mistake, but takes five times as long.
        """
        if self.positional is None or len(args) > len(self.positional):
            return None
        arguments = dict(zip(self.positional, args, strict=False))
        for name, value in kwargs.items():
            if name in arguments or name not in self.checks:
                return None
            arguments[name] = value
        return arguments if arguments.keys() >= self.required else None

    def _bind_with_inspect(
        self, args: Sequence[object], kwargs: Mapping[str, object]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        known = self.signature.parameters
        takes_any_keyword = any(p.kind is p.VAR_KEYWORD for p in known.values())
        for name in kwargs:
            if name not in known and not takes_any_keyword:
                raise InvalidArgument(
                    f"{self.name}() has no parameter {name!r}; it takes {', '.join(known)}",
                    parameter=name,
                    method=self.name,
                )
        try:
            bound = self.signature.bind(*args, **kwargs)
        except TypeError as error:
            raise InvalidArgument(f"{self.name}(): {error}", method=self.name) from None
        for name, value in bound.arguments.items():
            bound.arguments[name] = self.checks[name](value, name)
        return bound.args, bound.kwargs


def signature_of(method: Callable[..., object], *, strict: bool) -> Signature:
    """Returns the checks of a method.

    Args:
        method: A bound method, or a function.
        strict: Whether annotations are enforced, as for the methods of engines. Objects that
            engines hand out, such as a tokenizer, come from other libraries, whose annotations
            are not exact enough to reject a call.
    """
    function = getattr(method, "__func__", method)
    return _signature(function, bound=function is not method, strict=strict)


@cache
def _signature(function: Callable[..., object], *, bound: bool, strict: bool) -> Signature:
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # written in C, without a signature
        signature = inspect.Signature(
            [
                inspect.Parameter("args", inspect.Parameter.VAR_POSITIONAL),
                inspect.Parameter("kwargs", inspect.Parameter.VAR_KEYWORD),
            ]
        )
        bound = False
    if bound:
        signature = signature.replace(parameters=list(signature.parameters.values())[1:])
    hints = hints_of(function) if strict else {}
    method = getattr(function, "__name__", "call")
    checks = {
        name: _check_parameter(
            parameter,
            check_of(method, name, hints.get(name, Any), checker) if strict else anything,
        )
        for name, parameter in signature.parameters.items()
    }
    parameters = signature.parameters.values()
    all_have_names = {p.kind for p in parameters} <= {
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
        inspect.Parameter.KEYWORD_ONLY,
    }
    positional = tuple(p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD)
    required = frozenset(p.name for p in parameters if p.default is p.empty)
    return Signature(method, signature, checks, positional if all_have_names else None, required)


def _check_parameter(parameter: inspect.Parameter, check: Check) -> Check:
    if parameter.kind is parameter.VAR_POSITIONAL:
        return lambda values, path: tuple(
            check(value, f"{path}[{index}]") for index, value in enumerate(values)
        )
    if parameter.kind is parameter.VAR_KEYWORD:
        return lambda values, path: {name: check(value, name) for name, value in values.items()}
    return check
