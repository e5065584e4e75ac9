"""Mellea's hooks around a generation, as functions of the client.

Their names, what they see and what they may change are mellea's. Its own registry is not used: it
is one for the whole process, so that the hooks of a client would run for every other client's
calls, it passes over hooks that fail, and it ends each after five seconds. Here the hooks belong to
one call, and the client that made the call runs them (see ``questions``). A hook that blocks a call
or fails ends the call at the client, so nothing of it arrives here.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any, Final, NamedTuple, Protocol

from python_worker.exceptions import InvalidArgument
from python_worker.integrations.mellea.formats import format_of, schema_of
from python_worker.integrations.mellea.sampling import TO_MELLEA, check_options

PRE_CALL: Final = "generation_pre_call"
POST_CALL: Final = "generation_post_call"
BATCH_PRE_CALL: Final = "generation_batch_pre_call"
BATCH_POST_CALL: Final = "generation_batch_post_call"

NAMES: Final = (PRE_CALL, POST_CALL, BATCH_PRE_CALL, BATCH_POST_CALL)

WRITABLE: Final[Mapping[str, type]] = {"model_options": dict, "format": dict, "tool_calls": bool}
"""What a hook may change before a generation, and what each has to be."""


class Call(NamedTuple):
    """What a hook may change of a generation.

    Attributes:
        model_options: The options of the call, which stand before those of the backend.
        format: What the text has to fit.
        tool_calls: Whether the model is offered tools.
    """

    model_options: dict[str, Any] | None
    format: Any
    tool_calls: bool


class Asks(Protocol):
    """What asks the client."""

    async def ask_hook(self, hook: str, payload: Mapping[str, Any]) -> dict[str, Any]:
        """What the client's hook changes."""


class Hooks:
    """The hooks of one call.

    Args:
        names: Those that the client has, of ``NAMES``.
        questions: Asks the client.

    Raises:
        InvalidArgument: There is no hook of a name.
    """

    def __init__(self, names: list[Any], questions: Asks) -> None:
        for name in names:
            if name not in NAMES:
                raise InvalidArgument(
                    f"hooks: there is no {str(name)[:80]!r}; there are {', '.join(NAMES)}",
                    parameter="hooks",
                )
        self._names = frozenset(names)
        self._questions = questions

    def has(self, hook: str) -> bool:
        """Whether the client has a hook of the name."""
        return hook in self._names

    async def before(self, hook: str, call: Call, payload: Mapping[str, Any]) -> Call:
        """Asks the client before a generation, and returns the call with the changes.

        Options of the client are put over those of the call, under the names that are given.

        Args:
            hook: Of ``NAMES``.
            call: What may be changed.
            payload: What the client is told beside it.
        """
        told = {
            "model_options": {
                name: value
                for name, value in (call.model_options or {}).items()
                if name != "@@@tools@@@"
            },
            "format": schema_of(call.format),
            "tool_calls": call.tool_calls,
        }
        changes = await self._questions.ask_hook(hook, {**payload, **told})
        if "model_options" in changes:
            call = call._replace(
                model_options=_put_over(changes["model_options"], call.model_options or {})
            )
        if "format" in changes:
            call = call._replace(format=format_of(changes["format"]))
        if "tool_calls" in changes:
            call = call._replace(tool_calls=changes["tool_calls"])
        return call

    async def after(self, hook: str, payload: Mapping[str, Any]) -> None:
        """Tells the client what was generated."""
        await self._questions.ask_hook(hook, payload)


def _put_over(changes: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Options with changes put over them: both may have mellea's names, or the engine's."""
    changed = {TO_MELLEA.get(name, name): value for name, value in changes.items()}
    kept = {
        name: value for name, value in options.items() if TO_MELLEA.get(name, name) not in changed
    }
    return {**kept, **changed}


CURRENT: ContextVar[Hooks | None] = ContextVar("hooks", default=None)
"""The hooks of the call that is being carried out."""


def hooks_for(hook: str) -> Hooks | None:
    """The hooks of the current call, if one of them has the name."""
    hooks = CURRENT.get()
    return hooks if hooks is not None and hooks.has(hook) else None


def check_changes(changes: Mapping[str, Any]) -> None:
    """Refuse what a hook may not change.

    Raises:
        InvalidArgument: A name is not of ``WRITABLE``, or its value is of another class.
    """
    for name, value in changes.items():
        wanted = WRITABLE.get(name)
        if wanted is None:
            raise InvalidArgument(
                f"changes: a hook cannot change {str(name)[:80]!r}; it can change "
                f"{', '.join(WRITABLE)}",
                parameter="changes",
            )
        if not isinstance(value, wanted) and not (name == "format" and value is None):
            raise InvalidArgument(
                f"changes.{name}: wants a {wanted.__name__}, got {type(value).__name__}",
                parameter=f"changes.{name}",
            )
    check_options(changes.get("model_options"))
