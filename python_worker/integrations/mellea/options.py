"""Mellea's rules for maps of options, as they are: Elixir's are held against them."""

from __future__ import annotations

import asyncio
from typing import Any

from python_worker.integrations.mellea import library


class ModelOption:
    """The rules, each on maps alone."""

    async def replace_keys(
        self, options: dict[str, Any], from_to: dict[str, str]
    ) -> dict[str, Any]:
        """Renames keys; where the new name has a value already, that value stays."""
        made: dict[str, Any] = (await _rules()).replace_keys(options, from_to)
        return made

    async def remove_special_keys(self, options: dict[str, Any]) -> dict[str, Any]:
        """Leaves out the keys that begin with ``@@@``."""
        made: dict[str, Any] = (await _rules()).remove_special_keys(options)
        return made

    async def merge(
        self, options: dict[str, Any], overwrite: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """One map over another."""
        made: dict[str, Any] = (await _rules()).merge_model_options(options, overwrite)
        return made


async def _rules() -> Any:
    module = await asyncio.to_thread(library.load, "local_backend")
    return module.ModelOption
