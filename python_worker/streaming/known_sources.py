"""The methods of vLLM that ``token_tap`` repeats or relies on, by the checksums of their sources.

The table covers every vLLM version that was reviewed. To add one: run ``make drift AGAINST=`` its
wheel, read the differences of each class that is listed as changed, adapt ``token_tap`` where that
is needed, and then add the new checksums here and to the fixture of the tests.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
from collections.abc import Mapping
from typing import Any, Final

VERSIONS: Final = ("0.32.0", "0.33.0")
"""The reviewed versions of vLLM, the oldest first."""

SOURCES: Final[Mapping[str, Mapping[str, Mapping[str, Mapping[str, str]]]]] = {
    "processor": {
        "vllm.v1.engine.output_processor.OutputProcessor": {
            "process_outputs": {"0.32.0": "9e116796002e75f2", "0.33.0": "06811284749d457d"},
        },
    },
    "state": {
        "vllm.v1.engine.output_processor.RequestState": {
            "make_request_output": {"0.32.0": "353cb96c5deaa307", "0.33.0": "9c555c51b1a2ece2"},
            "_new_completion_output": {"0.32.0": "dec8c8112ea29602"},
            "_new_request_output": {"0.32.0": "4c3408481517d773"},
        },
    },
    "logprobs": {
        "vllm.v1.engine.logprobs.LogprobsProcessor": {
            "from_new_request": {"0.32.0": "e8a0bed9a2f36092"},
            "update_from_output": {"0.32.0": "2d4d3c33fc3cc5d2"},
        },
    },
    "parent": {
        "vllm.v1.engine.parallel_sampling.ParentRequest": {
            "get_outputs": {"0.32.0": "356e9f216d932035"},
        },
    },
    "detokenizer": {
        "vllm.v1.engine.detokenizer.IncrementalDetokenizer": {
            "get_next_output_text": {"0.32.0": "a0f2aa28f90d761a"},
            "update": {"0.32.0": "682204d64bcba607"},
            "output_token_ids": {"0.32.0": "4d83594ef0f12d54"},
        },
        "vllm.v1.engine.detokenizer.BaseIncrementalDetokenizer": {
            "get_next_output_text": {"0.32.0": "426afb10c034a31b"},
            "update": {"0.32.0": "ab88e88b47aeb0cc"},
        },
        "vllm.v1.engine.detokenizer.FastIncrementalDetokenizer": {},
        "vllm.v1.engine.detokenizer.SlowIncrementalDetokenizer": {
            "output_token_ids": {"0.32.0": "db76a35f995cbcd5"},
        },
    },
}
"""Role of an object → vLLM's class → method that it defines → since which version → checksum.

A class without methods of its own here inherits those of its role.
"""


def known_checksums(role: str) -> Mapping[str, frozenset[str]]:
    """The methods of a role, each with the checksums of all its known sources."""
    found: dict[str, frozenset[str]] = {}
    for methods in SOURCES[role].values():
        for name, checksums in methods.items():
            found[name] = found.get(name, frozenset()) | frozenset(checksums.values())
    return found


@functools.cache
def unknown_method(role: str, cls: Any) -> str | None:
    """The first method of a class whose source is not known; reads sources, once for each class.

    Args:
        role: A key of ``SOURCES``.
        cls: vLLM's class, or a subclass of it.

    Returns:
        The method with its class, or None if all are known.
    """
    for name, checksums in known_checksums(role).items():
        if checksum_of(getattr(cls, name, None)) not in checksums:
            return f"{getattr(cls, '__name__', cls)}.{name}"
    return None


def checksum_of(method: Any) -> str:
    """The checksum of the source of a method or property; empty if it has no source."""
    try:
        return checksum(inspect.getsource(getattr(method, "fget", method)))
    except (OSError, TypeError):
        return ""


def checksum(source: str) -> str:
    """The first 16 digits of the SHA-256 of a source text."""
    return hashlib.sha256(source.encode()).hexdigest()[:16]


def why_unknown(version: str | None, method: str) -> str:
    """Says that a method's source is not known."""
    known = ", ".join(VERSIONS)
    return f"vLLM {version}'s source of {method} differs from the known ones ({known})"


def why_missing(version: str | None, cls: str) -> str:
    """Says that a class does not exist."""
    return f"vLLM {version} has no class {cls}"
