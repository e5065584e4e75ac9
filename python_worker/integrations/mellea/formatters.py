"""What a client holds of a formatter: it finds the template of a component and renders it."""

from __future__ import annotations

import asyncio
from typing import Any

from python_worker.integrations.mellea import library


class Formatter:
    """Renders components with the templates for a model.

    Args:
        formatter: Mellea's.

    Attributes:
        mellea: Mellea's formatter.
    """

    def __init__(self, formatter: Any) -> None:
        self.mellea = formatter

    @classmethod
    async def new(
        cls, model_id: str, template_path: str = "", use_template_cache: bool = True
    ) -> Formatter:
        """A formatter for a model.

        Args:
            model_id: The name of the model; the deepest folder of templates that fits it wins.
            template_path: A folder of the worker's machine whose templates come before mellea's.
            use_template_cache: Whether to keep the templates that were found.
        """
        module = await asyncio.to_thread(library.load, "template_formatter")
        await asyncio.to_thread(library.load, "components")
        made = module.CachingFormatter(
            model_id=model_id,
            template_path=template_path,
            use_template_cache=use_template_cache,
        )
        return cls(made)

    async def print(self, component: Any) -> str:
        """A component as text."""
        if component is None:
            return ""
        span = await library.load("components").span(component, "component")
        return str(await _rendered(self.mellea.print, span))

    async def to_chat_messages(self, components: list[Any]) -> list[Any]:
        """Components as messages: a thunk is the assistant's, others are the user's."""
        make = library.load("components")
        spans = [await make.span(one, f"components[{n}]") for n, one in enumerate(components)]
        messages = await _rendered(self.mellea.to_chat_messages, spans)
        return [{"role": one.role, "content": one.content} for one in messages]


async def _rendered(render: Any, value: Any) -> Any:
    """Renders in a thread: finding a template reads folders.

    Raises:
        InvalidArgument: There is no template, or it does not take the component.
    """
    with library.load("templates").refused("component"):
        return await asyncio.to_thread(render, value)
