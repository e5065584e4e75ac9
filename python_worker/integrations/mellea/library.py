"""Imports mellea at its first use, and has it write to the worker's log."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from types import ModuleType
from typing import Final

from python_worker.integrations import extras

ENVIRONMENT: Final[Mapping[str, str]] = {
    # Its own handler writes to stdout. Without one, what it logs goes to the worker's log.
    "MELLEA_LOGS_CONSOLE": "false",
    # At "info" it draws a bar of progress for each sampling.
    "MELLEA_LOGS_LEVEL": "WARNING",
}

PACKAGE: Final = __package__


def load(name: str) -> ModuleType:
    """A module of this folder that needs mellea. The first use takes about a second.

    Args:
        name: Of the module, such as ``local_backend``.

    Raises:
        MissingDependency: Mellea is not installed.
    """
    for variable, value in ENVIRONMENT.items():
        os.environ.setdefault(variable, value)
    extras.load("mellea", "mellea.stdlib.session")
    return importlib.import_module(f"{PACKAGE}.{name}")
