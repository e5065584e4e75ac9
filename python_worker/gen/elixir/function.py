"""A method of the manifest, with what its Elixir function needs to know of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from python_worker.gen.elixir.types import Types

_NAMES = {"__init__": "new", "__repr__": "inspect_model"}

_RECEIVERS = {"AsyncLLM": "engine", "LLM": "llm"}


@dataclass(frozen=True)
class Function:
    """One method, ready to be written.

    Attributes:
        owner: The Python class.
        member: The manifest's description.
        entry: The overlay's, see `overlay.py`.
        classes: The manifest's classes.
    """

    owner: str
    member: dict[str, Any]
    entry: dict[str, Any]
    classes: dict[str, Any]

    @property
    def name(self) -> str:
        """The name in Elixir, which is Python's but for the constructor's."""
        python: str = self.member["name"]
        return _NAMES.get(python, python)

    @property
    def receiver(self) -> str:
        """What the argument is called that the method is called on; its type has that name too."""
        return _RECEIVERS.get(self.owner, "object")

    @property
    def kind(self) -> str:
        """The kind of the member."""
        return str(self.member["kind"])

    @property
    def required(self) -> list[dict[str, Any]]:
        """The parameters that are positional in Elixir."""
        return [p for p in self._named if "default" not in p]

    @property
    def optional(self) -> list[dict[str, Any]]:
        """The parameters that may be left out."""
        return [p for p in self._named if "default" in p]

    @property
    def _named(self) -> list[dict[str, Any]]:
        # What `**kwargs` takes is said in the notes.
        return [p for p in self.member["parameters"] if p["kind"] != "var_keyword"]

    @property
    def tail(self) -> list[str]:
        """The names of the parameters after the required ones, all of them optional."""
        if self.kind == "property":
            return []
        if any(p["kind"] == "positional" for p in self.optional):
            return ["args_or_opts", "opts"]
        return ["opts"]

    def argument_type(self, parameter: dict[str, Any]) -> str:
        """Gives the typespec of a parameter."""
        own = self.entry.get("types", {}).get(parameter["name"])
        return (
            str(own)
            if own
            else Types(self.classes, sent=True).field(parameter | {"required": True})
        )

    @property
    def return_type(self) -> str:
        """The typespec of the value in `{:ok, value}`."""
        if self.kind == "async_generator":
            return "Stream.t()"
        if self.entry.get("unsupported"):
            return "no_return()"
        if own := self.entry.get("spec"):
            return str(own)
        returns = {"annotation": self.member["returns"] or "Any", "required": True}
        return Types(self.classes, sent=False).field(returns)
