"""Mellea's ``LocalVLLMBackend`` over an engine of this worker.

Mellea had a class of this name up to its version 0.4.1, which made an engine of its own. This one
is given an engine, which others may use at the same time.
"""

from __future__ import annotations

import asyncio
import datetime
import functools
import time
from collections.abc import Mapping, Sequence
from typing import Any

from mellea.backends.backend import FormatterBackend
from mellea.backends.model_options import ModelOption
from mellea.backends.tools import (
    add_tools_from_context_actions,
    add_tools_from_model_options,
    convert_tools_to_json,
)
from mellea.core import GenerateLog, MelleaLogger, ModelOutputThunk
from mellea.core.base import AbstractMelleaTool, GenerateType
from mellea.formatters import ChatFormatter
from mellea.helpers.async_helpers import send_to_queue
from mellea.stdlib import functional

from python_worker.integrations.mellea import generation, hooks, images, prompts
from python_worker.integrations.mellea.formats import schema_of
from python_worker.integrations.mellea.generation import STARTED, Engine
from python_worker.integrations.mellea.hooks import POST_CALL, Call, Hooks, hooks_for
from python_worker.integrations.mellea.made_texts import note_output, told_to_hooks
from python_worker.integrations.mellea.outputs import text_of
from python_worker.integrations.mellea.requests import Requests, request_name
from python_worker.integrations.mellea.sampling import TO_MELLEA
from python_worker.integrations.mellea.template_formatter import CachingFormatter
from python_worker.integrations.mellea.templates import refused
from python_worker.integrations.mellea.tools import calls_in
from python_worker.process import large_work

__all__ = ["LocalVLLMBackend", "ModelOption", "functional"]

Tools = dict[str, AbstractMelleaTool[..., Any]]
Options = Mapping[str, Any] | None


class LocalVLLMBackend(FormatterBackend):
    """Generates with an engine.

    Args:
        engine: The engine.
        model_id: The name or folder of the model; templates are chosen by it.
        formatter: Renders components; by default with mellea's templates for the model.
        model_options: Options of all calls.
    """

    _provider = "vllm"

    def __init__(
        self,
        engine: Engine,
        model_id: str,
        formatter: ChatFormatter | None = None,
        model_options: Options = None,
    ) -> None:
        """Takes the engine as it is."""
        super().__init__(
            model_id,
            formatter or CachingFormatter(model_id=model_id),
            model_options=ModelOption.replace_keys(dict(model_options or {}), dict(TO_MELLEA)),
        )
        self._requests = Requests(engine)
        self._model_id = model_id

    @property
    def engine(self) -> Engine:
        """The engine, which may be exchanged."""
        return self._requests.engine

    @engine.setter
    def engine(self, engine: Engine) -> None:
        self._requests.engine = engine

    # --- Options ---------------------------------------------------------------

    def merged(self, options: Options) -> dict[str, Any]:
        """The options of a call over those of the backend, under mellea's names."""
        given = None
        if options is not None:
            given = ModelOption.replace_keys(dict(options), dict(TO_MELLEA))
        return ModelOption.merge_model_options(self.model_options, given)

    def parameters(self, merged: Mapping[str, Any]) -> dict[str, Any]:
        """The parameters of a request that merged options ask for."""
        return self._requests.parameters(merged)

    # --- Prompts ---------------------------------------------------------------

    async def rendered(
        self, action: Any, ctx: Any, merged: Mapping[str, Any], tools: Tools
    ) -> prompts.Prompt:
        """A chat as the engine takes it.

        Raises:
            InvalidArgument: The context is none of a chat, the chat template does not take it, or
                it shows images to a model that takes none.
        """
        system = merged.get(ModelOption.SYSTEM_PROMPT)
        messages, shown = await prompts.messages_of(action, ctx, self.formatter, system)
        template = {
            "add_generation_prompt": merged.get(prompts.ADD_GENERATION_PROMPT, True),
            **prompts.thinking(merged.get(ModelOption.THINKING)),
        }
        offered = convert_tools_to_json(tools)
        return await prompts.rendered(self.engine, messages, shown, offered, template)

    def tools_of(self, action: Any, ctx: Any, merged: Mapping[str, Any]) -> Tools:
        """The tools that the model is offered; of two of one name the last is taken.

        They are those of the options, of the context, and of what is generated from.
        """
        tools: Tools = {}
        add_tools_from_model_options(tools, dict(merged))
        add_tools_from_context_actions(tools, ctx.actions_for_available_tools())
        add_tools_from_context_actions(tools, [action])
        return tools

    # --- From a context --------------------------------------------------------

    async def _generate_from_context(
        self,
        action: Any,
        ctx: Any,
        *,
        format: Any = None,
        model_options: Options = None,
        tool_calls: bool = False,
    ) -> tuple[ModelOutputThunk[Any], Any]:
        await self.do_generate_walk(action)
        request_id = request_name()
        call = Call(None if model_options is None else dict(model_options), format, tool_calls)
        if (asked := hooks_for(hooks.PRE_CALL)) is not None:
            messages, _images = await prompts.messages_of(action, ctx, self.formatter, None)
            payload = {**self._about(request_id), "messages": messages}
            call = await asked.before(hooks.PRE_CALL, call, payload)
        merged = self.merged(call.model_options)
        tools: Tools = {}
        if call.tool_calls and call.format is not None:
            MelleaLogger.get_logger().warning("format was given: the tools are left out")
        elif call.tool_calls:
            tools = self.tools_of(action, ctx, merged)
        prompt = await self.rendered(action, ctx, merged, tools)
        thunk: ModelOutputThunk[Any] = ModelOutputThunk(None)
        thunk._call.context = ctx.view_for_generation()
        thunk._call.action = action
        thunk._call.model_options = merged
        thunk._gen.start = datetime.datetime.now()
        thunk._gen.process = self.processing
        thunk._gen.post_process = functools.partial(
            self._finish,
            hooks=hooks_for(hooks.POST_CALL),
            conversation=prompt.messages,
            _format=call.format,
            tool_calls=call.tool_calls,
            tools=tools,
            seed=merged.get(ModelOption.SEED),
        )
        self._begin(thunk, request_id, prompt.of_engine, merged, call.format)
        return thunk, ctx.add(action).add(thunk)

    def _about(self, request_id: str) -> dict[str, Any]:
        """What every hook is told."""
        return {
            "generation_id": request_id,
            "model": self._model_id,
            "provider": self._provider,
        }

    def _begin(
        self,
        thunk: ModelOutputThunk[Any],
        request_id: str,
        prompt: Any,
        merged: Mapping[str, Any],
        format: Any,
    ) -> None:
        """Starts the request, as a task that feeds the thunk.

        Raises:
            InvalidArgument: A parameter of the request is wrong.
        """
        streaming = bool(merged.get(ModelOption.STREAM))
        kind = "DELTA" if streaming else "FINAL_ONLY"
        outputs = self._requests.outputs(prompt, merged, format, kind, request_id)
        # Without a stream the only output is the whole text, which may take any time.
        seconds = merged.get(ModelOption.STREAM_TIMEOUT, 120.0 if streaming else None)
        feed = functools.partial(send_to_queue, outputs, thunk, chunk_timeout=seconds)
        thunk._gen.generate = asyncio.create_task(generation.run(self.engine, feed))
        thunk._gen.generate_type = GenerateType.ASYNC
        thunk.generation.response_id = request_id
        started = STARTED.get()
        if started is not None:
            started.append(thunk)

    async def processing(self, mot: ModelOutputThunk[Any], chunk: Any) -> None:
        """Adds the text of an output to the thunk. Of several completions only the first counts."""
        mot._underlying_value = (mot._underlying_value or "") + text_of(chunk)
        note_output(mot, chunk)

    async def post_processing(
        self,
        mot: ModelOutputThunk[Any],
        conversation: Any,
        _format: Any,
        tool_calls: bool,
        tools: Tools,
        seed: Any,
    ) -> None:
        """Finds the tool calls in a text that is whole, and writes the thunk's log."""
        text = mot.value or ""
        if tool_calls and _format is None:
            parse = functools.partial(calls_in, tools, text)
            mot.tool_calls = await large_work.run_if_large(len(text), parse)
        mot.generation.model = self._model_id
        mot.generation.provider = mot.raw.provider = self._provider
        called = None if mot.tool_calls is None else [call.name for call in mot.tool_calls]
        mot._generate_log = self._log(mot, conversation, _format, list(tools), called, seed)

    async def finish_by_hand(
        self,
        mot: ModelOutputThunk[Any],
        conversation: Any,
        format: Any,
        tool_calls: bool,
        tools: Tools,
        seed: Any,
    ) -> None:
        """Ends a text that was filled with ``processing`` alone."""
        mot._underlying_value = mot._underlying_value or ""
        mot._computed = True
        try:
            await self.post_processing(mot, conversation, format, tool_calls, tools, seed)
            mot._set_parsed_repr()
        except BaseException:
            mot._computed = False
            raise

    async def _finish(
        self, mot: ModelOutputThunk[Any], *, hooks: Hooks | None, **given: Any
    ) -> None:
        """Ends a text that was generated; then the client's hook sees it."""
        await self.post_processing(mot, **given)
        if hooks is not None:
            payload = {
                **self._about(mot.generation.response_id or ""),
                "messages": given["conversation"],
                "latency_ms": mot._elapsed_ms(),
                **told_to_hooks(mot),
            }
            await hooks.after(POST_CALL, payload)

    def _log(
        self,
        mot: ModelOutputThunk[Any],
        prompt: Any,
        format: Any,
        tools: list[str],
        called: list[str] | None,
        seed: Any,
    ) -> GenerateLog:
        return GenerateLog(
            prompt=prompt,
            backend=f"vllm::{self._model_id}",
            model_options=mot._call.model_options,
            date=datetime.datetime.now(),
            model_output=mot.value,
            extra={
                "format": schema_of(format),
                "tools_available": tools,
                "tools_called": called,
                "seed": seed,
            },
            action=mot._call.action,
            result=mot,
        )

    # --- From texts ------------------------------------------------------------

    async def _generate_from_raw(
        self,
        actions: Sequence[Any],
        ctx: Any,
        *,
        format: Any = None,
        model_options: Options = None,
        tool_calls: bool = False,
    ) -> tuple[list[ModelOutputThunk[Any]], dict[str, Any] | None]:
        await self.do_generate_walks(list(actions))
        for index, action in enumerate(actions):
            images.check_no_images(action, f"actions[{index}]")
        with refused("actions"):
            texts = await asyncio.to_thread(lambda: [*map(self.formatter.print, actions)])
        batch = {**self._about(request_name()), "prompts": texts, "num_actions": len(texts)}
        call = Call(None if model_options is None else dict(model_options), format, tool_calls)
        if (asked := hooks_for(hooks.BATCH_PRE_CALL)) is not None:
            call = await asked.before(hooks.BATCH_PRE_CALL, call, batch)
        if call.tool_calls:
            MelleaLogger.get_logger().warning("generate_from_raw does not take tool_calls")
        merged = self.merged(call.model_options)
        started = time.monotonic()
        outputs = await self._requests.last_outputs(texts, merged, call.format)
        results = [
            self._made(action, prompt, merged, call.format, output)
            for action, prompt, output in zip(actions, texts, outputs, strict=True)
        ]
        if (asked := hooks_for(hooks.BATCH_POST_CALL)) is not None:
            latency = (time.monotonic() - started) * 1000
            payload = {**batch, "latency_ms": latency, "outputs": [*map(told_to_hooks, results)]}
            await asked.after(hooks.BATCH_POST_CALL, payload)
        return results, None

    def _made(
        self, action: Any, prompt: str, merged: dict[str, Any], format: Any, made: tuple[str, Any]
    ) -> ModelOutputThunk[Any]:
        request_id, output = made
        thunk: ModelOutputThunk[Any] = ModelOutputThunk(text_of(output))
        thunk._call.action = action
        thunk._call.model_options = merged
        thunk.generation.response_id = request_id
        thunk.generation.model = self._model_id
        thunk.generation.provider = thunk.raw.provider = self._provider
        note_output(thunk, output)
        thunk._set_parsed_repr()
        seed = merged.get(ModelOption.SEED)
        thunk._generate_log = self._log(thunk, prompt, format, [], None, seed)
        return thunk
