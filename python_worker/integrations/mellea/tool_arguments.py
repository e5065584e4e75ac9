"""What is made of a text of the model's without a backend: the arguments of a call, and JSON."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from python_worker.exceptions import InvalidArgument
from python_worker.integrations.mellea import library
from python_worker.process import large_work


class Tools:
    """Functions for texts that a client has."""

    async def parse_json(self, text: str) -> Any:
        """The value of a text that is JSON.

        Raises:
            InvalidArgument: It is none.
        """
        return await large_work.run_if_large(len(text), lambda: _parsed(text))

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


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidArgument(
            f"text: is no JSON: {error}. A text that was cut off needs more max_new_tokens",
            parameter="text",
        ) from None
