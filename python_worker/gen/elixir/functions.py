"""A method of the manifest as an Elixir function: its text.

Required parameters are positional; where others may be positional too, they follow as
`args_or_opts`; `opts` is last. Methods of classes also take the place to run, first.
"""

from __future__ import annotations

from python_worker.gen.elixir import member_docs
from python_worker.gen.elixir.function import Function
from python_worker.gen.elixir.text import heredoc, string

ON_CLASSES = ("constructor", "classmethod", "factory")
"""Kinds that need no reference. A factory is a method of an object that travels by its fields:
the object is its first argument."""

_TAIL = {"args_or_opts": "Call.args_or_opts()", "args": "[term()]", "opts": "keyword()"}


def function_text(function: Function) -> str:
    """Writes the function, or the functions where Elixir needs several."""
    if function.kind in ON_CLASSES:
        return _class_text(function)
    text = _doc(function, member_docs.doc(function))
    text += _instance_text(function, function.name, "invoke")
    if function.kind == "async_generator":
        text += "\n" + _doc(function, member_docs.collect_doc(function))
        text += _instance_text(function, f"{function.name}_collect", "collect")
    return text


def _doc(function: Function, text: str) -> str:
    return heredoc("doc", text) + f"  @doc group: :{function.entry['group']}\n"


def _instance_text(function: Function, name: str, funnel: str) -> str:
    names = [p["name"] for p in function.required]
    types = [f"{function.receiver}()", *map(function.argument_type, function.required)]
    types += [_TAIL[tail] for tail in function.tail]
    head = [function.receiver, *names, *(rf"{tail} \\ []" for tail in function.tail)]
    arguments = [function.receiver, string(function.member["name"])]
    if function.tail:
        arguments += [f"[{', '.join(names)}]", *function.tail]
    returned = function.entry["collected"] if funnel == "collect" else function.return_type
    return (
        f"  @spec {name}({', '.join(types)}) :: {_result(returned)}\n"
        f"  def {name}({', '.join(head)}) do\n"
        f"    Call.{funnel}({', '.join(arguments)})\n  end\n"
    )


def _class_text(function: Function) -> str:
    """Writes one function for each arity: the place may come first or be left out."""
    required = [(p["name"], function.argument_type(p)) for p in function.required]
    worker = ("worker", "worker()")
    both, tail = ("args_or_opts", _TAIL["args_or_opts"]), [(n, _TAIL[n]) for n in _TAIL][1:]
    shapes = [
        [required],
        [[worker, *required], [*required, both]],
        [[worker, *required, both], [*required, *tail]],
        [[worker, *required, *tail]],
    ]
    documented = f"{function.name}/{len(required)}"
    texts: list[str] = []
    for alternatives in shapes:
        arguments = [_either(place) for place in zip(*alternatives, strict=True)]
        names = ", ".join(name for name, _type in arguments)
        doc = _doc(function, member_docs.doc(function)) if not texts else _see(function, documented)
        texts.append(
            f"{doc}  @spec {function.name}({', '.join(kind for _name, kind in arguments)}) ::"
            f" {_result(function.return_type)}\n"
            f"  def {function.name}({names}) do\n"
            f'    Call.invoke_class("{function.owner}", "{function.name}", '
            f"{len(required)}, [{names}])\n  end\n"
        )
    return "\n".join(texts)


def _see(function: Function, documented: str) -> str:
    return f'  @doc "See `{documented}`."\n  @doc group: :{function.entry["group"]}\n'


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
