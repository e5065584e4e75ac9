"""From what a client sends to mellea's components and contexts.

A client sends maps with a ``type``, texts, and references of thunks. Each function of ``SPANS``
checks its own map; what mellea itself refuses is told as the client's mistake.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from mellea.core import CBlock, Component, Context, ModelOutputThunk, TemplateRepresentation
from mellea.stdlib.components import Instruction, Message
from mellea.stdlib.context import ChatContext, SimpleContext

from python_worker.exceptions import InvalidArgument
from python_worker.integrations.mellea.fields import (
    refuse_rest,
    shown,
    take,
    take_text,
    with_variables,
)
from python_worker.integrations.mellea.images import check_no_images, images
from python_worker.integrations.mellea.questions import Questions
from python_worker.integrations.mellea.requirements import requirements
from python_worker.integrations.mellea.thunks import Thunk
from python_worker.integrations.mellea.tools import tools


class OwnComponent(Component[str]):
    """A component that a client describes: arguments for a template.

    Args:
        args: The arguments.
        template: The template itself, if it is not one of a file.
        template_order: The names of templates to look for; ``*`` is the component's own name.
        tools: Tools that the model is offered with it.
    """

    def __init__(
        self,
        args: dict[str, Any],
        template: str | None,
        template_order: list[str] | None,
        tools: dict[str, Any] | None,
    ) -> None:
        self._args = args
        self._template = template
        self._template_order = template_order or ["*"]
        self._tools = tools

    def __repr__(self) -> str:
        return f"the component {type(self).__name__}"

    def parts(self) -> list[Any]:
        """The components and thunks among the arguments."""
        return [part for part in self._args.values() if isinstance(part, Component | CBlock)]

    def format_for_llm(self) -> TemplateRepresentation:
        """The arguments and where the template is."""
        return TemplateRepresentation(
            obj=self,
            args=self._args,
            tools=self._tools,
            template=self._template,
            template_order=self._template_order,
        )

    def _parse(self, computed: ModelOutputThunk[Any]) -> str:
        return computed.value or ""


# --- Spans -------------------------------------------------------------------------


async def span(value: Any, path: str = "action") -> Any:
    """A component, a block or a thunk. Thunks that it holds are waited for.

    Raises:
        InvalidArgument: It is none that is known, or mellea does not take it.
    """
    if isinstance(value, str):
        return CBlock(value)
    if isinstance(value, Thunk):
        return await value.computed()
    make = SPANS.get(value.get("type", "")) if isinstance(value, dict) else None
    if make is None:
        raise InvalidArgument(
            f"{path}: wants a text, a message, an instruction, a component or a thunk, got "
            f"{shown(value)}",
            parameter=path,
        )
    fields = {name: field for name, field in value.items() if name != "type"}
    return await make(fields, path)


async def _message(fields: dict[str, Any], path: str) -> Message:
    role = take(fields, "role", str, path)
    content = take(fields, "content", str, path)
    tool_calls = take(fields, "tool_calls", list, path, None)
    tool_call_id = take(fields, "tool_call_id", str, path, None)
    shows = images(take(fields, "images", list, path, None), f"{path}.images")
    refuse_rest(fields, path)
    try:
        return Message(
            role, content, images=shows, tool_calls=tool_calls, tool_call_id=tool_call_id
        )
    except ValueError as error:
        raise InvalidArgument(f"{path}: {error}", parameter=f"{path}.role") from error


async def _instruction(fields: dict[str, Any], path: str) -> Instruction:
    return await instruction(fields, path, None)


async def instruction(
    fields: dict[str, Any], path: str, questions: Questions | None
) -> Instruction:
    """An instruction, whose texts are templates where there are ``user_variables``.

    Raises:
        InvalidArgument: A field is wrong.
    """
    variables = take(fields, "user_variables", dict, path, None)
    description = take_text(fields, "description", variables, path)
    prefix = take_text(fields, "prefix", variables, path)
    required = take(fields, "requirements", list, path, None) or []
    examples = take(fields, "icl_examples", list, path, None) or []
    grounding = take(fields, "grounding_context", dict, path, None) or {}
    shows = images(take(fields, "images", list, path, None), f"{path}.images")
    refuse_rest(fields, path)
    return Instruction(
        description=description,
        requirements=[*requirements(required, questions, variables, f"{path}.requirements")],
        icl_examples=[
            with_variables(one, variables, f"{path}.icl_examples[{index}]")
            for index, one in enumerate(examples)
        ],
        grounding_context={
            str(name): with_variables(one, variables, f"{path}.grounding_context[{name!r}]")
            if isinstance(one, str)
            else await _inner(one, f"{path}.grounding_context[{name!r}]")
            for name, one in grounding.items()
        },
        prefix=prefix,
        images=shows,
    )


async def _component(fields: dict[str, Any], path: str) -> OwnComponent:
    name = take(fields, "name", str, path)
    args = take(fields, "args", dict, path, None) or {}
    template = take(fields, "template", str, path, None)
    order = take(fields, "template_order", list, path, None)
    offered = take(fields, "tools", list, path, None)
    refuse_rest(fields, path)
    if not name.isidentifier():
        raise InvalidArgument(
            f"{path}.name: wants letters, digits and _, got {name[:80]!r}",
            parameter=f"{path}.name",
        )
    if order is not None and not all(isinstance(one, str) for one in order):
        raise InvalidArgument(
            f"{path}.template_order: wants texts", parameter=f"{path}.template_order"
        )
    # A class of its own: mellea finds and keeps templates by the name of a component's class.
    cls = type(name, (OwnComponent,), {})
    parts = {str(key): await _part(one, f"{path}.args[{key!r}]") for key, one in args.items()}
    made: OwnComponent = cls(parts, template, order, tools(offered))
    return made


async def _part(value: Any, path: str) -> Any:
    """An argument of a template: a span, or a list or map of them."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, list):
        return [await _part(one, f"{path}[{index}]") for index, one in enumerate(value)]
    if isinstance(value, dict) and "type" not in value:
        return {str(key): await _part(one, f"{path}[{key!r}]") for key, one in value.items()}
    if isinstance(value, int | float):
        return str(value)
    return await _inner(value, path)


async def _inner(value: Any, path: str) -> Any:
    """A span in another one, of which only the text is told."""
    made = await span(value, path)
    check_no_images(made, path)
    return made


SPANS: Final[Mapping[str, Callable[[dict[str, Any], str], Any]]] = {
    "message": _message,
    "instruction": _instruction,
    "component": _component,
}
"""By the ``type`` of a map: what makes a component of its other fields."""


async def context(value: Any, path: str = "context") -> Context:
    """A context: a chat, or one whose turns the model is not told.

    Raises:
        InvalidArgument: It is neither, or one of its turns is wrong.
    """
    kind = value.get("type") if isinstance(value, dict) else None
    if kind not in ("chat", "simple"):
        raise InvalidArgument("Does not yet support non-chat contexts.", parameter=path)
    fields = {name: field for name, field in value.items() if name != "type"}
    turns = take(fields, "turns", list, path, None) or []
    window = take(fields, "window_size", int, path, None)
    refuse_rest(fields, path)
    if window is not None and not 1 <= window <= 2**31:
        raise InvalidArgument(
            f"{path}.window_size: wants 1 at least, got {window}", parameter=f"{path}.window_size"
        )
    made: Context = SimpleContext() if kind == "simple" else ChatContext(window_size=window)
    for index, turn in enumerate(turns):
        made = made.add(await span(turn, f"{path}.turns[{index}]"))
    return made
