"""What a client holds of a backend: mellea's, with arguments that are checked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final, cast

from python_worker.exceptions import InvalidArgument, Unsupported
from python_worker.integrations.mellea import library
from python_worker.integrations.mellea.formatters import Formatter
from python_worker.integrations.mellea.generation import Engine
from python_worker.integrations.mellea.sampling import FROM_MELLEA, TO_MELLEA
from python_worker.integrations.mellea.thunks import Thunk

# What every engine has, and nothing else that a client may hold.
_MEMBERS: Final = ("add_lora", "generate", "get_tokenizer", "errored", "dead_error")

_Fits = Callable[[Any], bool]

# Options of mellea's that reach no check of vLLM's.
_OPTIONS: Final[Mapping[str, tuple[str, _Fits]]] = {
    "@@@system_prompt@@@": ("a text", lambda value: isinstance(value, str)),
    "@@@stream@@@": ("true or false", lambda value: isinstance(value, bool)),
    "@@@thinking@@@": ("true, false or a text", lambda value: isinstance(value, bool | str)),
    "@@@stream_timeout@@@": (
        "seconds above 0",
        lambda value: isinstance(value, int | float) and not isinstance(value, bool) and value > 0,
    ),
    "add_generation_prompt": ("true or false", lambda value: isinstance(value, bool)),
}


class Backend:
    """A backend on an engine.

    Args:
        engine: The engine.
        backend: Mellea's, over it.
        engine_args: What the engine was made from; None if it is somebody else's.

    Attributes:
        engine: The engine, with whose death the calls of the backend end.
        mellea: Mellea's backend.
    """

    def __init__(self, engine: Engine, backend: Any, engine_args: dict[str, Any] | None) -> None:
        self.engine = engine
        self.mellea = backend
        self._engine_args = engine_args

    @classmethod
    async def new(
        cls,
        engine: object,
        model_id: str,
        model_options: dict[str, Any] | None = None,
        formatter: object = None,
        engine_args: dict[str, Any] | None = None,
    ) -> Backend:
        """A backend for an engine of this worker.

        Args:
            engine: The engine.
            model_id: The name of the model, by which templates are chosen.
            model_options: Options of all calls.
            formatter: Renders components; mellea's own if there is none.
            engine_args: What the engine was made from, where it is the backend's own.
        """
        checked = checked_engine(engine)
        check_options(model_options)
        if formatter is not None and not isinstance(formatter, Formatter):
            raise InvalidArgument(
                "formatter: wants the reference of a TemplateFormatter", parameter="formatter"
            )
        module = await asyncio.to_thread(library.load, "local_backend")
        await asyncio.to_thread(library.load, "components")
        own = None if formatter is None else formatter.mellea
        made = module.LocalVLLMBackend(checked, model_id, own, model_options)
        return cls(checked, made, engine_args)

    # --- What clients call -------------------------------------------------------

    async def engine_args(self) -> dict[str, Any]:
        """What the engine was made from.

        Raises:
            Unsupported: The engine is not the backend's own.
        """
        return dict(self._own_args())

    async def own(self) -> dict[str, Any]:
        """The backend's own engine, and the model of it.

        Raises:
            Unsupported: The engine is not the backend's own.
        """
        self._own_args()
        return {"engine": self.engine, "model": self.mellea.model_id}

    async def use_engine(self, engine: object) -> None:
        """Takes another engine in place of the backend's own, which was shut down."""
        self._own_args()
        self.engine = self.mellea.engine = checked_engine(engine)

    async def to_mellea_model_opts_map(self) -> dict[str, str]:
        """By the engine's names of options: mellea's."""
        return dict(TO_MELLEA)

    async def from_mellea_model_opts_map(self) -> dict[str, str]:
        """By mellea's names of options: the engine's."""
        return dict(FROM_MELLEA)

    async def effective_options(self, model_options: dict[str, Any] | None = None) -> Any:
        """What the engine was made from, and the parameters that a request would have."""
        check_options(model_options)
        sampling = self.mellea.parameters(self.mellea.merged(model_options))
        return {"engine": dict(self._engine_args or {}), "sampling": sampling}

    async def render_prompt(
        self,
        action: Any,
        context: Any,
        model_options: dict[str, Any] | None = None,
        tool_calls: bool = False,
        tools: list[Any] | None = None,
        format: dict[str, Any] | None = None,
    ) -> str:
        """The text that ``generate_from_context`` would give to the model."""
        span, turns, options = await self._given(action, context, model_options, tools)
        merged = self.mellea.merged(options)
        offered = {}
        if tool_calls and format is None:
            offered = self.mellea.tools_of(span, turns, merged)
        _messages, text, _ids = await self.mellea.rendered(span, turns, merged, offered)
        return str(text)

    async def generate_from_context(
        self,
        action: Any,
        context: Any,
        model_options: dict[str, Any] | None = None,
        tool_calls: bool = False,
        tools: list[Any] | None = None,
        format: dict[str, Any] | None = None,
    ) -> Thunk:
        """Begins a text that goes on from a context.

        Args:
            action: What is said to the model.
            context: What was said before.
            model_options: Options of this call.
            tool_calls: Whether the model is offered tools, and calls are looked for in the text.
            tools: Tools beside those of the action.
            format: A JSON schema that the text has to fit. Then no tools are offered.
        """
        span, turns, options = await self._given(action, context, model_options, tools)
        thunk, _context = await self.mellea.generate_from_context(
            span,
            turns,
            format=components().format_of(format),
            model_options=options,
            tool_calls=tool_calls,
        )
        return Thunk(thunk, self.engine)

    async def generate_from_raw(
        self,
        actions: list[Any],
        context: Any = None,
        model_options: dict[str, Any] | None = None,
        tool_calls: bool = False,
        format: dict[str, Any] | None = None,
    ) -> list[Thunk]:
        """Texts that go on from each of some texts, without a chat template; all at once."""
        check_options(model_options)
        make = components()
        spans = [await make.span(one, f"actions[{n}]") for n, one in enumerate(actions)]
        turns = await make.context({"type": "simple"} if context is None else context)
        made = await self.mellea.generate_from_raw(
            spans,
            turns,
            format=make.format_of(format),
            model_options=model_options,
            tool_calls=tool_calls,
        )
        return [Thunk(thunk, self.engine) for thunk in made]

    # --- Inside ------------------------------------------------------------------

    async def _given(
        self, action: Any, context: Any, options: dict[str, Any] | None, tools: list[Any] | None
    ) -> tuple[Any, Any, dict[str, Any] | None]:
        return (
            await components().span(action),
            await components().context(context),
            with_tools(options, tools),
        )

    def _own_args(self) -> dict[str, Any]:
        if self._engine_args is None:
            raise Unsupported("the engine was given to the backend: it is not the backend's own")
        return self._engine_args


def components() -> Any:
    """The module ``components``, which a backend has loaded."""
    return library.load("components")


def with_tools(options: dict[str, Any] | None, tools: list[Any] | None) -> dict[str, Any] | None:
    """The options of a call, with its tools."""
    check_options(options)
    made = components().tools(tools)
    return options if made is None else {**(options or {}), "@@@tools@@@": made}


def check_options(options: dict[str, Any] | None) -> None:
    """Refuse an option that mellea would stumble over.

    Raises:
        InvalidArgument: Its value is wrong, or it has another way to be given.
    """
    for name, value in (options or {}).items():
        if not isinstance(name, str):
            raise InvalidArgument("model_options: the keys are texts", parameter="model_options")
        parameter = f"model_options[{name[:80]!r}]"
        if name == "@@@tools@@@":
            raise InvalidArgument(f"{parameter}: give tools instead", parameter=parameter)
        wanted, fits = _OPTIONS.get(name, ("", _anything))
        if value is not None and not fits(value):
            raise InvalidArgument(
                f"{parameter}: wants {wanted}, got {type(value).__name__}", parameter=parameter
            )


def _anything(value: Any) -> bool:
    return True


def checked_engine(engine: object) -> Engine:
    """An engine.

    Raises:
        InvalidArgument: It is none.
    """
    if not all(hasattr(type(engine), name) for name in _MEMBERS):
        raise InvalidArgument(
            f"engine: wants the reference of an AsyncLLM, got {type(engine).__name__}",
            parameter="engine",
        )
    return cast(Engine, engine)
