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

from python_worker.annotations import checker
from python_worker.failures import Refused
from python_worker.hints import hints_of
from python_worker.parameters import check_of
from python_worker.scalars import Check, anything


@dataclasses.dataclass(frozen=True)
class Signature:
    """The parameters of one method, each with its check."""

    name: str
    signature: inspect.Signature
    checks: Mapping[str, Check]

    def bind(
        self, args: Sequence[object], kwargs: Mapping[str, object]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Check the arguments of a call and bring them into calling form.

        Raises:
            Refused: An argument is missing, unknown or of the wrong type.
        """
        known = self.signature.parameters
        open_ended = any(p.kind is p.VAR_KEYWORD for p in known.values())
        for name in kwargs:
            if name not in known and not open_ended:
                raise Refused(
                    f"{self.name}() has no parameter {name!r}; it takes {', '.join(known)}",
                    parameter=name,
                    method=self.name,
                )
        try:
            bound = self.signature.bind(*args, **kwargs)
        except TypeError as error:
            raise Refused(f"{self.name}(): {error}", method=self.name) from None
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
    return Signature(method, signature, checks)


def _check_parameter(parameter: inspect.Parameter, check: Check) -> Check:
    if parameter.kind is parameter.VAR_POSITIONAL:
        return lambda values, path: tuple(
            check(value, f"{path}[{index}]") for index, value in enumerate(values)
        )
    if parameter.kind is parameter.VAR_KEYWORD:
        return lambda values, path: {name: check(value, name) for name, value in values.items()}
    return check
