"""What a client holds of a session: a context that grows with each answer.

Validators are functions of the client's, so ``instruct`` and ``validate`` are streams of questions
with the result as the last item (see ``questions``).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, aclosing, nullcontext
from typing import Any

from python_worker.exceptions import InvalidArgument
from python_worker.integrations.mellea import library
from python_worker.integrations.mellea.backends import Backend, components, with_tools
from python_worker.integrations.mellea.formats import format_of
from python_worker.integrations.mellea.generation import Engine
from python_worker.integrations.mellea.hooks import check_changes
from python_worker.integrations.mellea.questions import Open, Questions, Verdict, answer
from python_worker.integrations.mellea.thunks import Thunk


class Session:
    """A backend and a context.

    Args:
        backend: The backend.
        context: Mellea's context.
        keeps_turns: Whether the model is told what was said before.

    Attributes:
        backend: The backend.
    """

    def __init__(self, backend: Backend, context: Any, *, keeps_turns: bool) -> None:
        self.backend = backend
        self._context = context
        self._empty = context.new_instance()
        self._open: Open = {}
        self._one_at_a_time = asyncio.Lock()
        self._keeps_turns = keeps_turns

    @classmethod
    async def new(cls, backend: object, context: Any = None) -> Session:
        """A session on a backend.

        Args:
            backend: The backend.
            context: What was said before; one that tells the model nothing if there is none.
        """
        if not isinstance(backend, Backend):
            raise InvalidArgument(
                f"backend: wants the reference of a LocalVLLMBackend, got {type(backend).__name__}",
                parameter="backend",
            )
        turns = {"type": "simple"} if context is None else context
        made = await components().context(turns)
        return cls(backend, made, keeps_turns=turns["type"] == "chat")

    @property
    def engine(self) -> Engine:
        """The backend's engine, with whose death the calls of the session end."""
        return self.backend.engine

    # --- What clients call -------------------------------------------------------

    async def instruct(
        self,
        instruction: dict[str, Any],
        strategy: dict[str, Any] | None = None,
        model_options: dict[str, Any] | None = None,
        tool_calls: bool = False,
        tools: list[Any] | None = None,
        format: dict[str, Any] | None = None,
        hooks: list[Any] | None = None,
    ) -> AsyncGenerator[dict[str, Any], None]:
        """Has the model follow an instruction, again until the text meets its requirements.

        Args:
            instruction: The fields of an instruction.
            strategy: How and how often it is tried again; None for one text that nobody checks.
            model_options: Options of this call.
            tool_calls: Whether the model is offered tools.
            tools: The tools.
            format: A JSON schema that the text has to fit.
            hooks: The names of the client's hooks.
        """
        questions = Questions(self._open, hooks)
        action = await components().instruction(dict(instruction), "instruction", questions)
        plan = library.load("requirements").strategy(strategy)
        options = {
            "model_options": with_tools(model_options, tools),
            "tool_calls": tool_calls,
            "format": format_of(format),
        }
        work = self._follow(action, plan, options)
        async with self._turn(), aclosing(questions.during(work)) as items:
            async for item in items:
                yield item

    async def chat(
        self,
        message: Any,
        model_options: dict[str, Any] | None = None,
        tool_calls: bool = False,
        tools: list[Any] | None = None,
        format: dict[str, Any] | None = None,
        hooks: list[Any] | None = None,
    ) -> AsyncGenerator[dict[str, Any], None]:
        """Says something to the model, and returns what it answers."""
        questions = Questions(self._open, hooks)
        action = await components().span(message, "message")
        options = {
            "model_options": with_tools(model_options, tools),
            "tool_calls": tool_calls,
            "format": format_of(format),
        }
        work = self._follow(action, None, options)
        async with self._turn(), aclosing(questions.during(work)) as items:
            async for item in items:
                yield item

    async def validate(
        self,
        requirements: list[Any],
        output: object = None,
        model_options: dict[str, Any] | None = None,
        hooks: list[Any] | None = None,
    ) -> AsyncGenerator[dict[str, Any], None]:
        """Whether an output meets requirements.

        Args:
            requirements: The requirements.
            output: A text or a thunk; the last output of the context if there is none.
            model_options: Options of the judge's texts.
            hooks: The names of the client's hooks.
        """
        questions = Questions(self._open, hooks)
        required = library.load("requirements").requirements(requirements, questions)
        options = with_tools(model_options, None)
        thunk = await self._judged(output)
        work = self._judge(required, thunk, options)
        async with aclosing(questions.during(work)) as items:
            async for item in items:
                yield item

    async def answer(
        self, question: str, result: bool, reason: str | None = None, score: float | None = None
    ) -> None:
        """Answers a question about a requirement."""
        answer(self._open, question, Verdict(result, reason, score))

    async def answer_hook(self, question: str, changes: dict[str, Any]) -> None:
        """Answers a question about a hook, with what the hook changes."""
        check_changes(changes)
        answer(self._open, question, changes)

    async def context(self) -> list[dict[str, Any]]:
        """What was said so far, as messages."""
        messages = await asyncio.to_thread(self._messages)
        return [{"role": one.role, "content": one.content} for one in messages]

    async def get_backend(self) -> Backend:
        """The backend."""
        return self.backend

    async def reset(self) -> None:
        """Forgets what was said."""
        async with self._turn():
            self._context = self._empty

    # --- Inside ------------------------------------------------------------------

    def _turn(self) -> AbstractAsyncContextManager[object]:
        """One call at a time goes on from the context, unless it tells the model nothing."""
        return self._one_at_a_time if self._keeps_turns else nullcontext()

    async def _follow(self, action: Any, plan: Any, options: dict[str, Any]) -> dict[str, Any]:
        functional = library.load("local_backend").functional
        made = await functional.aact(
            action,
            self._context,
            self.backend.mellea,
            requirements=None if plan is None else action.requirements,
            strategy=plan,
            return_sampling_results=plan is not None,
            silence_context_type_warning=True,
            await_result=True,
            **options,
        )
        if plan is None:
            thunk, self._context = made
            return await self._result(thunk, True, [])
        self._context = made.result_ctx
        samples = [
            {"value": text.value, "validations": [_verdict(*pair) for pair in validations]}
            for text, validations in zip(
                made.sample_generations, made.sample_validations, strict=True
            )
        ]
        return await self._result(made.result, bool(made.success), samples)

    async def _result(self, thunk: Any, success: bool, samples: list[Any]) -> dict[str, Any]:
        held = Thunk(thunk, self.engine)
        return {
            "value": thunk.value,
            "success": success,
            "samples": samples,
            "tool_calls": await held.tool_calls(),
            "thunk": held,
        }

    async def _judged(self, output: object) -> Any:
        if isinstance(output, Thunk):
            return await output.computed()
        if isinstance(output, str):
            return library.load("made_texts").computed(output)
        if output is not None:
            raise InvalidArgument(
                f"output: wants a text or a thunk, got {type(output).__name__}", parameter="output"
            )
        if self._context.last_output() is None:
            raise InvalidArgument(
                "output: the model has said nothing in this session yet", parameter="output"
            )
        return None

    async def _judge(
        self, required: list[Any], thunk: Any, options: dict[str, Any] | None
    ) -> dict[str, Any]:
        functional = library.load("local_backend").functional
        results = await functional.avalidate(
            required, self._context, self.backend.mellea, output=thunk, model_options=options
        )
        pairs = zip(required, results, strict=True)
        return {"validations": [_verdict(*pair) for pair in pairs]}

    def _messages(self) -> Any:
        turns = self._context.as_list()
        return self.backend.mellea.formatter.to_chat_messages(turns)


def _verdict(requirement: Any, result: Any) -> dict[str, Any]:
    return {
        "requirement": requirement.description,
        "result": bool(result),
        "reason": result.reason,
        "score": result.score,
    }
