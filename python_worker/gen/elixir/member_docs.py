"""The documentation of a generated function: vLLM's words, then what Elixir adds."""

from __future__ import annotations

import re
import textwrap
from typing import Any

from python_worker.gen import overlay
from python_worker.gen.elixir.docs import markdown, summary
from python_worker.gen.elixir.function import Function
from python_worker.gen.elixir.types import term
from python_worker.gen.introspection import source

_DROPPED = re.compile(r"^(?:Raises|Returns|Yields):\n(?:[ \t]+.*\n?|\n)*", re.MULTILINE)
"""Sections of a docstring that ours stand for."""

_SHOWN_TYPE = 60

DEFAULT_TIMEOUT = 60_000

_RECEIVERS = {"engine": "the engine", "llm": "the LLM"}


def doc(function: Function) -> str:
    """Gives the whole documentation, as Markdown."""
    entry = function.entry
    words = _DROPPED.sub("", source.without_sections(function.member["doc"]) + "\n")
    parts = [markdown(entry.get("lead", "")), markdown(words), markdown(entry.get("notes", ""))]
    parts += ["## Arguments", "\n".join(_arguments(function))] if _arguments(function) else []
    parts += ["## Options", "\n".join(_options(function))] if _options(function) else []
    parts += ["## Returns", _returns(function), "## Errors", "\n".join(_errors(function))]
    parts += ["## Example", textwrap.indent(_example(function).strip(), "    ")]
    return "\n\n".join(part for part in parts if part)


def collect_doc(function: Function) -> str:
    """Gives the documentation of the companion that waits for the end of a stream."""
    arity = 1 + len(function.required) + len(function.tail)
    call = f"Vllm.{function.owner}.{function.name}_collect({function.receiver}"
    arguments = ", ".join(p["name"] for p in function.required)
    return "\n\n".join(
        [
            markdown(
                f"`{function.name}/{arity}` and `Vllm.Stream.collect/1` in one: waits for the "
                "end of the request and returns its last item. Takes the same arguments, but "
                "for `rpc: [stream_to: pid]`."
            ),
            "## Returns",
            f"`t:{function.entry['collected'].removesuffix('()')}/0`.",
            "## Errors",
            _bullet(f"Those of `{function.name}/{arity}`, and whatever ends the stream early."),
            "## Example",
            f"    {{:ok, output}} = {call}, {arguments})",
        ]
    )


def _arguments(function: Function) -> list[str]:
    texts = [_bullet(f"`{p['name']}` - {_about(function, p)}") for p in function.required]
    if function.kind in ("constructor", "classmethod", "factory"):
        place = (
            "`worker` - the instance that runs it, or a reference of its worker. May be left "
            "out: then it is the default instance, which is started if need be"
        )
        return [_bullet(place), *texts]
    return [_bullet(f"`{function.receiver}` - {_RECEIVERS[function.receiver]}"), *texts]


def _options(function: Function) -> list[str]:
    """Gives the parameters that may be left out, earlier spellings, and an unusual deadline."""
    texts = []
    for parameter in function.optional:
        default = parameter["default"]
        made = isinstance(default, dict) and "repr" in default
        value = f"made by vLLM (`{default['repr']}`)" if made else f"`{term(default)}`"
        about = _about(function, parameter)
        text = f"`{parameter['name']}` - default {value} ({_shown(parameter)})"
        texts.append(_bullet(f"{text}. {_capital(about)}" if about else text))
    for name, about in function.entry.get("old", {}).items():
        texts.append(_bullet(f"`{name}` - a spelling {about}"))
    return texts + [_bullet(text) for text in _deadline(function.entry)]


def _deadline(entry: dict[str, Any]) -> list[str]:
    default = entry.get("timeout", DEFAULT_TIMEOUT)
    parts = []
    if default == overlay.INFINITY:
        parts.append("none by default")
    elif default != DEFAULT_TIMEOUT:
        parts.append(f"by default {default // 1000} s")
    if without := entry.get("unlimited_with"):
        settings = " or ".join(f"`{name}: {term(value)}`" for name, value in without.items())
        parts.append(f"none with {settings}")
    if not parts:
        return []
    return [f"`rpc: [timeout: ms]` - {', '.join(parts)}: {entry['why_timeout']}"]


def _returns(function: Function) -> str:
    if text := function.entry.get("returns"):
        return markdown(text)
    if function.return_type == "nil":
        return "`nil`."
    raise ValueError(f"{function.name}: the overlay does not say what it returns")


def _errors(function: Function) -> list[str]:
    kinds = dict(function.entry.get("errors", {}))
    if function.entry.get("unsupported"):
        return [_bullet("`:unsupported` - always")]
    if function.member["parameters"]:
        kinds = {"invalid": "an argument has the wrong type, or is unknown"} | kinds
    texts = [_bullet(f"`:{kind}` - {about}") for kind, about in kinds.items()]
    return [*texts, _bullet(f"those of every call, see `Vllm.{_documented_in(function)}`")]


def _documented_in(function: Function) -> str:
    return function.owner if function.owner in overlay.FOLDERS else "AsyncLLM"


def _example(function: Function) -> str:
    if text := function.entry.get("example"):
        return str(text)
    arguments = ", ".join([function.receiver, *(p["name"] for p in function.required)])
    value = "nil" if function.return_type == "nil" else "value"
    return f"{{:ok, {value}}} = Vllm.{function.owner}.{function.name}({arguments})"


def _about(function: Function, parameter: dict[str, Any]) -> str:
    own = function.entry.get("arguments", {}).get(parameter["name"])
    docs = source.docstring_entries(function.member["doc"])
    shared = overlay.parameters().get(parameter["name"], "")
    return str(own or docs.get(parameter["name"], "") or shared)


def _shown(parameter: dict[str, Any]) -> str:
    resolved = parameter.get("type", parameter["annotation"])
    # A name that exists for type checkers only is resolved to Any, which says less.
    whole = len(resolved) <= _SHOWN_TYPE and not resolved.startswith("Any")
    shown = resolved if whole else parameter["annotation"]
    # IEx takes lines with a bar in them for a table.
    return f"`{shown.replace(' | ', ' or ')}`"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _bullet(text: str) -> str:
    first, more = summary(text)
    made = textwrap.indent(markdown(f"* {first}"), "  ")
    return f"{made}\n\n{markdown(more, indent='    ')}\n" if more else made
