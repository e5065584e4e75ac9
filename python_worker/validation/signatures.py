"""The gate: arguments are checked before an engine sees them.

vLLM checks few types in its front end. A wrongly typed field travels on to
EngineCore, ends the thread that decodes it there, and from then on every call
of every client hangs while ``check_health`` stays green. So each argument is
checked here against the annotation of its parameter, strictly (see
``annotations``). What does not fit is refused with the parameter, what it got
and what it wants.

The annotations are those of the live class. A method's checks are made once.
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
        name: The method's.
        signature: Without ``self``.
        checks: By parameter.
        plain: The parameters that may come in a list, in their order; None where a method takes
            any number of arguments, or has parameters without a name.
        required: Those that have no default.
    """

    name: str
    signature: inspect.Signature
    checks: Mapping[str, Check]
    plain: tuple[str, ...] | None
    required: frozenset[str]

    def bind(
        self, args: Sequence[object], kwargs: Mapping[str, object]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Check the arguments of a call and bring them into calling form.

        Raises:
            Refused: An argument is missing, unknown or of the wrong type.
        """
        arguments = self._by_name(args, kwargs)
        if arguments is None:
            return self._bind_any(args, kwargs)
        checks = self.checks
        for name, value in arguments.items():
            arguments[name] = checks[name](value, name)
        assert self.plain is not None
        given = []
        for name in self.plain:
            if name not in arguments:
                break
            given.append(arguments.pop(name))
        return tuple(given), arguments

    def _by_name(
        self, args: Sequence[object], kwargs: Mapping[str, object]
    ) -> dict[str, Any] | None:
        """The arguments by name, where all is plain and nothing is wrong.

        ``inspect`` does the same for every method and every mistake, but takes five times as long.
        """
        if self.plain is None or len(args) > len(self.plain):
            return None
        arguments = dict(zip(self.plain, args, strict=False))
        for name, value in kwargs.items():
            if name in arguments or name not in self.checks:
                return None
            arguments[name] = value
        return arguments if arguments.keys() >= self.required else None

    def _bind_any(
        self, args: Sequence[object], kwargs: Mapping[str, object]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        known = self.signature.parameters
        open_ended = any(p.kind is p.VAR_KEYWORD for p in known.values())
        for name in kwargs:
            if name not in known and not open_ended:
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
    """The checks of a bound method.

    Args:
        method: As found on its object or class, so that ``self`` is taken.
        strict: Whether annotations are enforced. They are for engines; on the
            objects that engines hand out (a tokenizer, say) other people's
            annotations promise too little to refuse calls over.
    """
    function = getattr(method, "__func__", method)
    return _signature(function, bound=function is not method, strict=strict)


@cache
def _signature(function: Callable[..., object], *, bound: bool, strict: bool) -> Signature:
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # written in C, without a text signature
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
    is_plain = {p.kind for p in parameters} <= {
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
        inspect.Parameter.KEYWORD_ONLY,
    }
    plain = tuple(p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD)
    required = frozenset(p.name for p in parameters if p.default is p.empty)
    return Signature(method, signature, checks, plain if is_plain else None, required)


def _check_parameter(parameter: inspect.Parameter, check: Check) -> Check:
    if parameter.kind is parameter.VAR_POSITIONAL:
        return lambda values, path: tuple(
            check(value, f"{path}[{index}]") for index, value in enumerate(values)
        )
    if parameter.kind is parameter.VAR_KEYWORD:
        return lambda values, path: {name: check(value, name) for name, value in values.items()}
    return check
