"""What mellea makes of the arguments of a tool call, for clients that have a call already."""

from __future__ import annotations

import asyncio
from typing import Any

from python_worker.integrations.mellea import library
from python_worker.process import large_work


class Tools:
    """Mellea's functions for tools."""

    async def validate_tool_arguments(
        self,
        tool: dict[str, Any],
        args: dict[str, Any],
        coerce_types: bool = True,
        strict: bool = False,
    ) -> dict[str, Any]:
        """The arguments of a call, made to fit the tool's schema where that is possible.

        Args:
            tool: Its name, and its parameters as a JSON schema.
            args: What the model wrote.
            coerce_types: Whether ``"3"`` is 3 for an integer.
            strict: Whether arguments that do not fit are refused; otherwise they stay as they are.
        """
        module = await asyncio.to_thread(library.load, "tools")
        made: dict[str, Any] = await large_work.in_thread(
            lambda: module.validated(tool, args, coerce_types=coerce_types, strict=strict)
        )
        return made
