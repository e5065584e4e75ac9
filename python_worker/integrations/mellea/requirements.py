"""What a text has to meet, and how it is made again until it does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from mellea.core import Context, Requirement, SamplingStrategy, ValidationResult
from mellea.stdlib.sampling import (
    MultiTurnStrategy,
    RejectionSamplingStrategy,
    RepairTemplateStrategy,
)

from python_worker.exceptions import InvalidArgument
from python_worker.integrations.mellea.fields import refuse_rest, shown, take, take_text
from python_worker.integrations.mellea.questions import Questions

STRATEGIES: Final[Mapping[str, Callable[..., SamplingStrategy]]] = {
    "rejection": RejectionSamplingStrategy,
    "repair_template": RepairTemplateStrategy,
    "multi_turn": MultiTurnStrategy,
}

MAX_LOOPS: Final = 1000
MAX_CONCURRENCY: Final = 256


class AskedRequirement(Requirement):
    """A requirement whose validator is a function of the client's.

    Args:
        description: What is required, for the model.
        check_only: Whether the model is not told.
        index: The number of the requirement in the client's list.
        questions: Asks the client.
    """

    def __init__(
        self, description: str | None, check_only: bool, index: int, questions: Questions
    ) -> None:
        super().__init__(description, check_only=check_only)
        self._index = index
        self._questions = questions

    def __deepcopy__(self, memo: dict[int, Any]) -> AskedRequirement:
        """The copy of an instruction that is repaired asks in the same call."""
        return self

    async def validate(
        self, backend: Any, ctx: Context, *, format: Any = None, model_options: Any = None
    ) -> ValidationResult:
        """Asks the client about the last output of the context."""
        output = ctx.last_output()
        text = None if output is None else output.value
        verdict = await self._questions.ask(self._index, text or "")
        return ValidationResult(verdict.result, reason=verdict.reason, score=verdict.score)


def requirements(
    values: Sequence[Any],
    questions: Questions | None,
    variables: dict[str, Any] | None = None,
    path: str = "requirements",
) -> list[Requirement]:
    """Requirements: a text for the model to judge by, or a map.

    Args:
        values: The client's list.
        questions: Asks the client; None where nobody validates.
        variables: Where the descriptions are templates.
        path: Of the list, for messages.
    """
    return [
        _requirement(value, index, questions, variables, f"{path}[{index}]")
        for index, value in enumerate(values)
    ]


def _requirement(
    value: Any,
    index: int,
    questions: Questions | None,
    variables: dict[str, Any] | None,
    path: str,
) -> Requirement:
    if isinstance(value, str):
        value = {"description": value}
    if not isinstance(value, dict):
        raise InvalidArgument(
            f"{path}: wants a text or a requirement, got {shown(value)}", parameter=path
        )
    fields = dict(value)
    description = take_text(fields, "description", variables, path)
    check_only = take(fields, "check_only", bool, path, False)
    asked = take(fields, "asked", bool, path, False)
    refuse_rest(fields, path)
    if asked and questions is not None:
        return AskedRequirement(description, check_only, index, questions)
    if description is None:
        raise InvalidArgument(
            f"{path}: wants a description or a validator", parameter=f"{path}.description"
        )
    return Requirement(description, check_only=check_only)


def strategy(value: dict[str, Any] | None) -> SamplingStrategy | None:
    """How a text is made again that does not meet its requirements.

    Raises:
        InvalidArgument: There is none of the name, or a budget is out of its range.
    """
    if value is None:
        return None
    fields = dict(value)
    name = take(fields, "name", str, "strategy")
    loops = take(fields, "loop_budget", int, "strategy", 1)
    concurrency = take(fields, "concurrency_budget", int, "strategy", 1)
    refuse_rest(fields, "strategy")
    for what, given, most in (
        ("loop_budget", loops, MAX_LOOPS),
        ("concurrency_budget", concurrency, MAX_CONCURRENCY),
    ):
        if not 1 <= given <= most:
            raise InvalidArgument(
                f"strategy.{what}: wants 1 to {most}, got {given}", parameter=f"strategy.{what}"
            )
    if name not in STRATEGIES:
        raise InvalidArgument(
            f"strategy.name: there is no {name[:80]!r}; there are {', '.join(STRATEGIES)}",
            parameter="strategy.name",
        )
    return STRATEGIES[name](loop_budget=loops, concurrency_budget=concurrency)
