"""What a client holds of a backend: mellea's, with arguments that are checked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from contextlib import aclosing
from typing import Any, Final, cast

from python_worker.exceptions import InvalidArgument, Unsupported
from python_worker.integrations.mellea import hooks, library
from python_worker.integrations.mellea.formats import format_of
from python_worker.integrations.mellea.formatters import Formatter
from python_worker.integrations.mellea.generation import Engine
from python_worker.integrations.mellea.questions import Open, Questions, answer
from python_worker.integrations.mellea.sampling import FROM_MELLEA, TO_MELLEA, check_options
from python_worker.integrations.mellea.thunks import Thunk

# What every engine has, and nothing else that a client may hold.
_MEMBERS: Final = ("add_lora", "generate", "get_tokenizer", "errored", "dead_error")


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
        self._open: Open = {}

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
        prompt = await self.mellea.rendered(span, turns, merged, offered)
        return str(prompt.text)

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
            format=format_of(format),
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
            format=format_of(format),
            model_options=model_options,
            tool_calls=tool_calls,
        )
        return [Thunk(thunk, self.engine) for thunk in made]

    async def generate_from_context_with_hooks(
        self,
        hooks: list[Any],
        action: Any,
        context: Any,
        model_options: dict[str, Any] | None = None,
        tool_calls: bool = False,
        tools: list[Any] | None = None,
        format: dict[str, Any] | None = None,
    ) -> AsyncGenerator[dict[str, Any], None]:
        """As ``generate_from_context``, with the client's hooks; the last item has the text.

        Args:
            hooks: The names of the client's hooks.
            action: As there, as what follows.
            context: What was said before.
            model_options: Options of this call.
            tool_calls: Whether the model is offered tools.
            tools: Tools beside those of the action.
            format: A JSON schema that the text has to fit.
        """
        _refuse_late(hooks)
        questions = Questions(self._open, hooks)
        work = self._wrapped(
            self.generate_from_context(action, context, model_options, tool_calls, tools, format)
        )
        async with aclosing(questions.during(work, keeps_texts=True)) as items:
            async for item in items:
                yield item

    async def generate_from_raw_with_hooks(
        self,
        hooks: list[Any],
        actions: list[Any],
        context: Any = None,
        model_options: dict[str, Any] | None = None,
        tool_calls: bool = False,
        format: dict[str, Any] | None = None,
    ) -> AsyncGenerator[dict[str, Any], None]:
        """As ``generate_from_raw``, with the client's hooks; the last item has the texts."""
        questions = Questions(self._open, hooks)
        work = self._wrapped(
            self.generate_from_raw(actions, context, model_options, tool_calls, format)
        )
        async with aclosing(questions.during(work)) as items:
            async for item in items:
                yield item

    async def answer_hook(self, question: str, changes: dict[str, Any]) -> None:
        """Answers a question about a hook, with what the hook changes."""
        hooks.check_changes(changes)
        answer(self._open, question, changes)

    async def new_thunk(
        self, action: Any = "", model_options: dict[str, Any] | None = None
    ) -> Thunk:
        """A text that no request makes: the client fills it with ``processing``."""
        check_options(model_options)
        span = await components().span(action)
        made = library.load("made_texts").unmade(span, self.mellea.merged(model_options))
        return Thunk(made, self.engine, filled_by_hand=True)

    async def processing(self, thunk: object, chunk: dict[str, Any]) -> None:
        """Adds the text of an output to a thunk of ``new_thunk``.

        Args:
            thunk: The thunk.
            chunk: An output of the engine: its ``outputs``, and ``prompt_token_ids`` if they are
                known.
        """
        output = library.load("outputs").output_of(chunk)
        await self.mellea.processing(fillable(thunk), output)

    async def post_processing(
        self,
        thunk: object,
        conversation: list[Any] | str,
        format: dict[str, Any] | None = None,
        tool_calls: bool = False,
        tools: list[Any] | None = None,
        seed: int | None = None,
    ) -> None:
        """Ends a thunk of ``new_thunk``: finds the tool calls in its text, and writes its log.

        Args:
            thunk: The thunk.
            conversation: What the model was given, for the log.
            format: The schema that the text had to fit, if there was one.
            tool_calls: Whether calls of tools are looked for.
            tools: The tools that the model was offered.
            seed: The seed of the request, for the log.
        """
        made = fillable(thunk)
        offered = library.load("tools").tools(tools) or {}
        await self.mellea.finish_by_hand(
            made, conversation, format_of(format), tool_calls, offered, seed
        )

    # --- Inside ------------------------------------------------------------------

    @staticmethod
    async def _wrapped(work: Coroutine[Any, Any, Any]) -> dict[str, Any]:
        return {"value": await work}

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
    made = library.load("tools").tools(tools)
    return options if made is None else {**(options or {}), "@@@tools@@@": made}


def fillable(thunk: object) -> Any:
    """Mellea's thunk of one that a client fills.

    Raises:
        InvalidArgument: It is none, its own request makes it, or it is whole.
    """
    if not isinstance(thunk, Thunk):
        raise InvalidArgument(
            f"thunk: wants the reference of a ModelOutputThunk, got {type(thunk).__name__}",
            parameter="thunk",
        )
    return thunk.by_hand()


def _refuse_late(names: list[Any]) -> None:
    if hooks.POST_CALL in names:
        raise Unsupported(
            f"hooks: {hooks.POST_CALL} comes when the text is whole, and this call returns before; "
            "wait for the thunk's value in its place",
            parameter="hooks",
        )


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
