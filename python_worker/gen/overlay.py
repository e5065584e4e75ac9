"""What introspection cannot know about vLLM's methods: the hand-written side of the manifest.

The facts stand in `overlay/`, one TOML file for each group of functions, one table for
each method under its Python name; those of `LLM` in `overlay/llm/`. All keys are optional:

    lead            the first words of the documentation, before vLLM's docstring
    notes           paragraphs after vLLM's docstring
    arguments.NAME  what a parameter is, where vLLM's docstring does not say or says less
    types.NAME      typespec of a parameter, where the annotation says too little
    returns         what the function returns, in words
    spec            typespec of what it returns, where the annotation is wrong or missing
    collected       of an async generator: typespec of its last item
    errors.KIND     when it fails with this kind, beside the kinds that every call has
    example         Elixir code
    old.NAME        a spelling of an earlier vLLM that the worker still takes
    timeout         default deadline in milliseconds, or "infinity"; 60 s without it
    unlimited_with  arguments with which there is none: `{ mode = "wait" }`
    why_timeout     the reason for either
    unsupported     true where the worker refuses every call

`attributes.toml` is about the public attributes of an engine, `other_classes.toml` about
methods of other classes; there `group` names the group. `parameters.toml` has words for
parameters that several methods share.
"""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "overlay"

FOLDERS = {"AsyncLLM": ".", "LLM": "llm"}
"""Where the files of a class stand, below `overlay/`."""

GROUPS = (
    "lifecycle",
    "generation",
    "pooling",
    "control",
    "lora",
    "cache",
    "introspection",
    "profiling",
    "weights",
    "distributed",
    "internal",
)
"""The order of the functions in the generated module, and the files."""

KEYS = {
    "lead": str,
    "notes": str,
    "arguments": dict,
    "types": dict,
    "returns": str,
    "spec": str,
    "collected": str,
    "errors": dict,
    "example": str,
    "old": dict,
    "timeout": int | str,
    "unlimited_with": dict,
    "why_timeout": str,
    "unsupported": bool,
    "group": str,
}
"""What an entry may hold."""

INFINITY = "infinity"


@cache
def members(owner: str = "AsyncLLM") -> dict[str, dict[str, Any]]:
    """Gives the entry of each member of a class, by its Python name, in the order of the docs."""
    found: dict[str, dict[str, Any]] = {}
    for group in groups(owner):
        entries = {name: it for name, it in _read(group, owner).items() if name != "title"}
        found |= {name: entry | {"group": group} for name, entry in entries.items()}
    for name, entry in served_attributes(owner).items():
        found[name] = entry
    return found


def groups(owner: str = "AsyncLLM") -> list[str]:
    """Gives the groups that a class has, in their order."""
    return [group for group in GROUPS if _path(group, owner).exists()]


@cache
def titles(owner: str = "AsyncLLM") -> dict[str, str]:
    """Gives the heading of each group."""
    return {group: _read(group, owner)["title"] for group in groups(owner)}


def served_attributes(owner: str = "AsyncLLM") -> dict[str, dict[str, Any]]:
    """Gives the entries of attributes that are served like properties."""
    return dict(_read("attributes", owner)["served"])


def not_served(owner: str = "AsyncLLM") -> dict[str, str]:
    """Gives the reason for each attribute that is not served."""
    return dict(_read("attributes", owner)["not_served"])


def other_classes() -> dict[str, dict[str, dict[str, Any]]]:
    """Gives the entries of other classes' methods, by class and method."""
    return _read("other_classes")


def parameters() -> dict[str, str]:
    """Gives what a parameter of this name is wherever nothing else says so."""
    return dict(_read("parameters"))


@cache
def _read(name: str, owner: str = "AsyncLLM") -> dict[str, Any]:
    return tomllib.loads(_path(name, owner).read_text(encoding="utf-8"))


def _path(name: str, owner: str) -> Path:
    return FOLDER / FOLDERS[owner] / f"{name}.toml"
