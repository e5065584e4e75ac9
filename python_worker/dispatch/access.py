"""What a client may do: everything, or what its role leaves.

A role limits a client to inference (the members that a class names in ``ServedClass.inference``),
to engines of certain names, or to both.
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

from python_worker.dispatch.served_classes import ServedClass
from python_worker.engines.metrics import model_name
from python_worker.exceptions import Forbidden


@dataclass(frozen=True)
class Access:
    """What the calls of one client may do.

    Attributes:
        role: The name of the role, for messages; empty for a client without limits.
        inference_only: Whether only members that belong to inference may be called.
        engines: The names of the engines that may be used; None for all.
    """

    role: str = ""
    inference_only: bool = False
    engines: frozenset[str] | None = None

    @property
    def unlimited(self) -> bool:
        """Whether everything is allowed."""
        return not self.inference_only and self.engines is None

    def within(self, other: Access) -> Access:
        """What both allow."""
        if other.unlimited:
            return self
        if self.unlimited:
            return other
        engines = [it for it in (self.engines, other.engines) if it is not None]
        return Access(
            " and ".join(sorted({self.role, other.role})),
            self.inference_only or other.inference_only,
            frozenset.intersection(*engines) if engines else None,
        )

    def sees(self, engine: object) -> bool:
        """Whether an engine may be used."""
        return self.engines is None or model_name(engine) in self.engines

    def check(self, target: object, served: ServedClass, method: str) -> None:
        """Refuse a call that the role does not allow.

        Args:
            target: The object that the call is for; None for the class, which makes one.
            served: The policy of its class.
            method: What is called.

        Raises:
            Forbidden: With the role and what it allows.
        """
        name = served.name or type(target).__name__
        if self.inference_only and (target is None or method not in served.inference):
            raise Forbidden(
                f"{name}.{method} is no inference, and the role {self.role!r} allows nothing else",
                role=self.role,
            )
        if self.engines is None:
            return
        if target is not None and target is served.singleton and method in served.inference:
            return
        if target is None or not self.sees(served.owner(target)):
            allowed = ", ".join(sorted(self.engines)) or "none"
            raise Forbidden(
                f"{name}.{method} is not of an engine that the role {self.role!r} allows: "
                f"{allowed}",
                role=self.role,
                engines=sorted(self.engines),
            )


EVERYTHING: Final = Access()
"""Of clients without a role, and of the worker's own calls."""

CALLER: ContextVar[Access] = ContextVar("caller", default=EVERYTHING)
"""Of the client whose method runs, for methods that show what there is."""
