"""The optional libraries that the systems of this folder need: whether they are there.

Each list of requirements in pyproject.toml that is installed on request has a row in ``EXTRAS``. A
system imports its library with ``load`` when it is first used, so that a worker without it starts
and serves everything else.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Mapping
from contextlib import nullcontext
from types import ModuleType
from typing import Final

from python_worker.exceptions import MissingDependency
from python_worker.process import cpu_share

EXTRAS: Final[Mapping[str, tuple[str, ...]]] = {
    "mellea": ("mellea",),
    "llama-factory": ("llamafactory", "peft", "trl"),
    "providers": ("xllamacpp", "peft", "accelerate"),
}
"""By the name of the list: the modules that it brings."""


def load(extra: str, module: str) -> ModuleType:
    """Imports a module of an optional library.

    Args:
        extra: The list that brings it, of ``EXTRAS``.
        module: Its name. It may take seconds to import: call this in a thread.

    Raises:
        MissingDependency: It is not installed, or its import fails.
    """
    try:
        with cpu_share.raised() if module not in sys.modules else nullcontext():
            return importlib.import_module(module)
    except ImportError as error:
        command = f"mix vllm.setup --with {extra}"
        missing = error.name or module
        raise MissingDependency(
            f"{missing} cannot be imported ({error}): run `{command}`, then start the worker again",
            library=missing,
            extra=extra,
            command=command,
        ) from error


def is_installed(extra: str) -> bool:
    """Whether the libraries of an extra are there. Imports none of them."""
    return all(importlib.util.find_spec(module) is not None for module in EXTRAS[extra])
