"""A method of the manifest as an Elixir function: its documentation, its spec, one call.

Required parameters are positional; where others may be positional too, they follow as
`args_or_opts`; `opts` is last. Methods of classes also take the place to run, first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from python_worker.gen import elixir_member_docs
from python_worker.gen.elixir_source import heredoc, string
from python_worker.gen.elixir_types import Types

ON_CLASSES = ("constructor", "classmethod", "factory")
"""Kinds that need no reference. A factory is a method of an object that travels by its fields:
the object is its first argument."""

_NAMES = {"__init__": "new"}

_TAIL = {"args_or_opts": "Call.args_or_opts()", "args": "[term()]", "opts": "keyword()"}


@dataclass(frozen=True)
class Function:
    """One method, ready to be written.

    Attributes:
        owner: The Python class.
        member: The manifest's description.
        entry: The overlay's, see `overlay.py`.
        classes: The manifest's classes.
        error: How the module names `Vllm.Error`.
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
    def kind(self) -> str:
        """The kind of the member."""
        return str(self.member["kind"])

    @property
    def required(self) -> list[dict[str, Any]]:
        """The parameters that are positional in Elixir."""
        return [p for p in self.member["parameters"] if "default" not in p]

    @property
    def optional(self) -> list[dict[str, Any]]:
        """The parameters that may be left out."""
        return [p for p in self.member["parameters"] if "default" in p]

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

    def text(self) -> str:
        """Writes the function, or the functions where Elixir needs several."""
        if self.kind in ON_CLASSES:
            return self._class_text()
        text = self._doc(elixir_member_docs.doc(self)) + self._instance_text(self.name, "invoke")
        if self.kind == "async_generator":
            doc = elixir_member_docs.collect_doc(self)
            text += "\n" + self._doc(doc) + self._instance_text(f"{self.name}_collect", "collect")
        return text

    def _doc(self, text: str) -> str:
        return heredoc("doc", text) + f"  @doc group: :{self.entry['group']}\n"

    def _instance_text(self, name: str, funnel: str) -> str:
        names = [p["name"] for p in self.required]
        types = ["engine()", *map(self.argument_type, self.required)]
        types += [_TAIL[tail] for tail in self.tail]
        head = ["engine", *names, *(rf"{tail} \\ []" for tail in self.tail)]
        arguments = ["engine", string(self.member["name"])]
        if self.tail:
            arguments += [f"[{', '.join(names)}]", *self.tail]
        returned = self.entry["collected"] if funnel == "collect" else self.return_type
        return (
            f"  @spec {name}({', '.join(types)}) :: {_result(returned)}\n"
            f"  def {name}({', '.join(head)}) do\n"
            f"    Call.{funnel}({', '.join(arguments)})\n  end\n"
        )

    def _class_text(self) -> str:
        """Writes one function for each arity: the place may come first or be left out."""
        required = [(p["name"], self.argument_type(p)) for p in self.required]
        worker = ("worker", "worker()")
        both, tail = ("args_or_opts", _TAIL["args_or_opts"]), [(n, _TAIL[n]) for n in _TAIL][1:]
        shapes = [
            [required],
            [[worker, *required], [*required, both]],
            [[worker, *required, both], [*required, *tail]],
            [[worker, *required, *tail]],
        ]
        documented = f"{self.name}/{len(required)}"
        texts: list[str] = []
        for alternatives in shapes:
            arguments = [_either(place) for place in zip(*alternatives, strict=True)]
            names = ", ".join(name for name, _type in arguments)
            doc = self._doc(elixir_member_docs.doc(self)) if not texts else self._see(documented)
            texts.append(
                f"{doc}  @spec {self.name}({', '.join(kind for _name, kind in arguments)}) ::"
                f" {_result(self.return_type)}\n"
                f"  def {self.name}({names}) do\n"
                f'    Call.invoke_class("{self.owner}", "{self.name}", '
                f"{len(required)}, [{names}])\n  end\n"
            )
        return "\n".join(texts)

    def _see(self, documented: str) -> str:
        return f'  @doc "See `{documented}`."\n  @doc group: :{self.entry["group"]}\n'


def _result(value: str) -> str:
    if value == "no_return()":
        return "{:error, Error.t()}"
    return f"{{:ok, {value}}} | {{:error, Error.t()}}"


def _either(alternatives: tuple[tuple[str, str], ...]) -> tuple[str, str]:
    """Names an argument that may be one of two: `worker_or_engine_args`."""
    names = list(dict.fromkeys(name for name, _type in alternatives))
    types = dict.fromkeys(t for _name, kind in alternatives for t in kind.split(" | "))
    if names in (["args_or_opts", "args"], ["args_or_opts", "opts"]):
        names = ["args_or_opts"]
    return "_or_".join(names).replace("_or_args_or_opts", "_or_opts"), " | ".join(types)
