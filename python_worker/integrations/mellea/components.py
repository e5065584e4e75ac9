"""From what a client sends to mellea's components, contexts, tools, requirements and strategies.

A client sends maps with a ``type``, texts, and references of thunks. Each class of ``SPANS`` checks
its own map; what mellea itself refuses is told as the client's mistake.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from mellea.backends.tools import MelleaTool
from mellea.core import (
    CBlock,
    Component,
    Context,
    ModelOutputThunk,
    Requirement,
    SamplingStrategy,
    TemplateRepresentation,
    ValidationResult,
)
from mellea.stdlib.components import Instruction, Message
from mellea.stdlib.context import ChatContext, SimpleContext
from mellea.stdlib.sampling import (
    MultiTurnStrategy,
    RejectionSamplingStrategy,
    RepairTemplateStrategy,
)

from python_worker.exceptions import InvalidArgument, Unsupported
from python_worker.integrations.mellea import templates
from python_worker.integrations.mellea.questions import Questions
from python_worker.integrations.mellea.thunks import Thunk

STRATEGIES: Final[Mapping[str, Callable[..., SamplingStrategy]]] = {
    "rejection": RejectionSamplingStrategy,
    "repair_template": RepairTemplateStrategy,
    "multi_turn": MultiTurnStrategy,
}

MAX_LOOPS: Final = 1000
MAX_CONCURRENCY: Final = 256


class Format:
    """What mellea takes for a class of pydantic's: a JSON schema."""

    def __init__(self, schema: dict[str, Any]) -> None:
        self._schema = schema

    def model_json_schema(self) -> dict[str, Any]:
        """The schema."""
        return self._schema


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


class AskedRequirement(Requirement):
    """A requirement whose validator is a function of the client's.

    Args:
        description: What is required, for the model.
        check_only: Whether the model is not told.
        index: The number of the requirement in the client's list.
        questions: Asks the client.
    """

    def __init__(
        self, description: str | None, check_only: bool, index: int, questions: Questions
    ) -> None:
        super().__init__(description, check_only=check_only)
        self._index = index
        self._questions = questions

    def __deepcopy__(self, memo: dict[int, Any]) -> AskedRequirement:
        """The copy of an instruction that is repaired asks in the same call."""
        return self

    async def validate(
        self, backend: Any, ctx: Context, *, format: Any = None, model_options: Any = None
    ) -> ValidationResult:
        """Asks the client about the last output of the context."""
        output = ctx.last_output()
        text = None if output is None else output.value
        verdict = await self._questions.ask(self._index, text or "")
        return ValidationResult(verdict.result, reason=verdict.reason, score=verdict.score)


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
            f"{_shown(value)}",
            parameter=path,
        )
    fields = {name: field for name, field in value.items() if name != "type"}
    return await make(fields, path)


async def _message(fields: dict[str, Any], path: str) -> Message:
    if fields.pop("images", None):
        raise Unsupported(
            f"{path}: mellea's local backend gives no images to the model; use Vllm.chat/3",
            parameter=f"{path}.images",
        )
    role = _field(fields, "role", str, path)
    content = _field(fields, "content", str, path)
    tool_calls = _field(fields, "tool_calls", list, path, None)
    tool_call_id = _field(fields, "tool_call_id", str, path, None)
    _nothing_else(fields, path)
    try:
        return Message(role, content, tool_calls=tool_calls, tool_call_id=tool_call_id)
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
    variables = _field(fields, "user_variables", dict, path, None)
    description = _text(fields, "description", variables, path)
    prefix = _text(fields, "prefix", variables, path)
    required = _field(fields, "requirements", list, path, None) or []
    examples = _field(fields, "icl_examples", list, path, None) or []
    grounding = _field(fields, "grounding_context", dict, path, None) or {}
    _nothing_else(fields, path)
    return Instruction(
        description=description,
        requirements=[*requirements(required, questions, variables, f"{path}.requirements")],
        icl_examples=[
            _rendered(one, variables, f"{path}.icl_examples[{index}]")
            for index, one in enumerate(examples)
        ],
        grounding_context={
            str(name): _rendered(one, variables, f"{path}.grounding_context[{name!r}]")
            if isinstance(one, str)
            else await span(one, f"{path}.grounding_context[{name!r}]")
            for name, one in grounding.items()
        },
        prefix=prefix,
    )


async def _component(fields: dict[str, Any], path: str) -> OwnComponent:
    name = _field(fields, "name", str, path)
    args = _field(fields, "args", dict, path, None) or {}
    template = _field(fields, "template", str, path, None)
    order = _field(fields, "template_order", list, path, None)
    offered = _field(fields, "tools", list, path, None)
    _nothing_else(fields, path)
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
    return await span(value, path)


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
    turns = _field(fields, "turns", list, path, None) or []
    window = _field(fields, "window_size", int, path, None)
    _nothing_else(fields, path)
    if window is not None and not 1 <= window <= 2**31:
        raise InvalidArgument(
            f"{path}.window_size: wants 1 at least, got {window}", parameter=f"{path}.window_size"
        )
    made: Context = SimpleContext() if kind == "simple" else ChatContext(window_size=window)
    for index, turn in enumerate(turns):
        made = made.add(await span(turn, f"{path}.turns[{index}]"))
    return made


# --- Options of a call -----------------------------------------------------------


def format_of(schema: dict[str, Any] | None) -> Any:
    """What mellea takes as a format."""
    return None if schema is None else Format(schema)


def tools(values: Sequence[Any] | None) -> dict[str, MelleaTool[..., Any]] | None:
    """Tools by name, each with a name and a schema. Their functions are the client's.

    Raises:
        InvalidArgument: One is no map of a name, a description and a schema.
    """
    if values is None:
        return None
    made = {}
    for index, value in enumerate(values):
        path = f"tools[{index}]"
        if not isinstance(value, dict):
            raise InvalidArgument(f"{path}: wants a map, got {_shown(value)}", parameter=path)
        fields = dict(value)
        name = _field(fields, "name", str, path)
        description = _field(fields, "description", str, path, None) or ""
        parameters = _field(fields, "parameters", dict, path, None) or {}
        fields.pop("strict", None)
        _nothing_else(fields, path)
        for part, cls in (("properties", dict), ("required", list)):
            _field(dict(parameters), part, cls, f"{path}.parameters", None)
        schema = {"type": "object", **parameters}
        schema["properties"] = parameters.get("properties") or {}
        function = {"name": name, "description": description, "parameters": schema}
        made[name] = MelleaTool(name, _not_here, {"type": "function", "function": function})
    return made


def _not_here(*args: Any, **kwargs: Any) -> Any:
    raise Unsupported("the functions of tools run in the client")


def requirements(
    values: Sequence[Any],
    questions: Questions | None,
    variables: dict[str, Any] | None = None,
    path: str = "requirements",
) -> list[Requirement]:
    """Requirements: a text for the model to judge by, or a map.

    Args:
        values: The client's list.
        questions: Asks the client; None where nobody validates.
        variables: Where the descriptions are templates.
        path: Of the list, for messages.
    """
    return [
        _requirement(value, index, questions, variables, f"{path}[{index}]")
        for index, value in enumerate(values)
    ]


def _requirement(
    value: Any,
    index: int,
    questions: Questions | None,
    variables: dict[str, Any] | None,
    path: str,
) -> Requirement:
    if isinstance(value, str):
        value = {"description": value}
    if not isinstance(value, dict):
        raise InvalidArgument(
            f"{path}: wants a text or a requirement, got {_shown(value)}", parameter=path
        )
    fields = dict(value)
    description = _text(fields, "description", variables, path)
    check_only = _field(fields, "check_only", bool, path, False)
    asked = _field(fields, "asked", bool, path, False)
    _nothing_else(fields, path)
    if asked and questions is not None:
        return AskedRequirement(description, check_only, index, questions)
    if description is None:
        raise InvalidArgument(
            f"{path}: wants a description or a validator", parameter=f"{path}.description"
        )
    return Requirement(description, check_only=check_only)


def strategy(value: dict[str, Any] | None) -> SamplingStrategy | None:
    """How a text is made again that does not meet its requirements.

    Raises:
        InvalidArgument: There is none of the name, or a budget is out of its range.
    """
    if value is None:
        return None
    fields = dict(value)
    name = _field(fields, "name", str, "strategy")
    loops = _field(fields, "loop_budget", int, "strategy", 1)
    concurrency = _field(fields, "concurrency_budget", int, "strategy", 1)
    _nothing_else(fields, "strategy")
    for what, given, most in (
        ("loop_budget", loops, MAX_LOOPS),
        ("concurrency_budget", concurrency, MAX_CONCURRENCY),
    ):
        if not 1 <= given <= most:
            raise InvalidArgument(
                f"strategy.{what}: wants 1 to {most}, got {given}", parameter=f"strategy.{what}"
            )
    if name not in STRATEGIES:
        raise InvalidArgument(
            f"strategy.name: there is no {name[:80]!r}; there are {', '.join(STRATEGIES)}",
            parameter="strategy.name",
        )
    return STRATEGIES[name](loop_budget=loops, concurrency_budget=concurrency)


# --- Fields ----------------------------------------------------------------------

_REQUIRED: Final = object()


def _field(
    fields: dict[str, Any], name: str, cls: type, path: str, default: Any = _REQUIRED
) -> Any:
    """Takes a field out of a map, and checks its class."""
    value = fields.pop(name, default)
    if value is _REQUIRED:
        raise InvalidArgument(f"{path}: needs {name}", parameter=f"{path}.{name}")
    fits = isinstance(value, cls) and (cls is bool or not isinstance(value, bool))
    if fits or value is default:
        return value
    raise InvalidArgument(
        f"{path}.{name}: wants a {cls.__name__}, got {_shown(value)}", parameter=f"{path}.{name}"
    )


def _nothing_else(fields: dict[str, Any], path: str) -> None:
    if fields:
        name = next(iter(fields))
        raise InvalidArgument(
            f"{path}: there is no field {str(name)[:80]!r}", parameter=f"{path}.{name}"
        )


def _text(
    fields: dict[str, Any], name: str, variables: dict[str, Any] | None, path: str
) -> str | None:
    text = _field(fields, name, str, path, None)
    return None if text is None else _rendered(text, variables, f"{path}.{name}")


def _rendered(text: Any, variables: dict[str, Any] | None, path: str) -> str:
    """A text with the variables in it, if there are any. No template reaches the worker's objects.

    Raises:
        InvalidArgument: It is no text, or no template.
    """
    if not isinstance(text, str):
        raise InvalidArgument(f"{path}: wants a text, got {_shown(text)}", parameter=path)
    if variables is None:
        return text
    return templates.filled(text, {str(name): value for name, value in variables.items()}, path)


def _shown(value: object) -> str:
    return type(value).__name__
