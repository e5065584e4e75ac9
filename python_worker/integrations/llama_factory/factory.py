"""What can be asked of LLaMA-Factory without an object, and how objects are made."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from python_worker.exceptions import InvalidArgument
from python_worker.integrations.inference.async_llm import checked_engine
from python_worker.integrations.llama_factory.arguments import grouped, parsed, reading
from python_worker.integrations.llama_factory.hosting import Library, library
from python_worker.integrations.llama_factory.requests import check_answer, making
from python_worker.integrations.llama_factory.vllm_engine import (
    ChatModel,
    VllmEngine,
    as_calls,
)

logger = logging.getLogger(__name__)

Map = dict[str, Any]


class LlamaFactory:
    """LLaMA-Factory in one worker. Whatever reads files or imports runs in a thread."""

    def __init__(self) -> None:
        self._closing: set[asyncio.Task[None]] = set()

    async def resolve_engine_args(
        self,
        model_args: Map,
        data_args: Map | None = None,
        finetuning_args: Map | None = None,
        generating_args: Map | None = None,
    ) -> Map:
        """The engine's arguments that LLaMA-Factory makes of its own; no engine is built.

        Args:
            model_args: The fields of its ``ModelArguments``.
            data_args: Those of its ``DataArguments``.
            finetuning_args: Those of its ``FinetuningArguments``.
            generating_args: Those of its ``GeneratingArguments``.
        """
        groups = _groups(model_args, data_args, finetuning_args, generating_args)
        _, hosted, _ = await asyncio.to_thread(_hosted, groups)
        return dict(hosted.model.arguments)

    async def resolve_args(self, args: Map) -> Map:
        """As ``resolve_engine_args``, of one map of all arguments."""
        _, hosted, _ = await asyncio.to_thread(_hosted_of_flat, args)
        return dict(hosted.model.arguments)

    async def templates(self) -> list[str]:
        """The names of the templates."""
        found: Library = await asyncio.to_thread(library)
        return sorted(found.templates.TEMPLATES)

    async def tool_formats(self) -> list[str]:
        """The names of the formats of tool calls."""
        found: Library = await asyncio.to_thread(library)
        return sorted(found.tool_utils.TOOLS)

    async def extract_tool(self, tool_format: str, content: str) -> str | list[dict[str, str]]:
        """The tool calls in an answer; the text if there are none.

        Args:
            tool_format: Of ``tool_formats``.
            content: The answer.
        """
        check_answer(content)

        def extract() -> Any:
            found = library()
            if tool_format not in found.tool_utils.TOOLS:
                raise InvalidArgument(
                    f"format: there is no {tool_format!r}; there are "
                    f"{', '.join(sorted(found.tool_utils.TOOLS))}",
                    parameter="format",
                )
            utils = found.tool_utils.get_tool_utils(tool_format)
            return making("tool calls of this", lambda: utils.tool_extractor(content))

        return as_calls(await asyncio.to_thread(extract))

    async def new_engine(
        self,
        model_args: Map,
        data_args: Map | None = None,
        finetuning_args: Map | None = None,
        generating_args: Map | None = None,
        *,
        engine: Any,
    ) -> VllmEngine:
        """``VllmEngine(...)`` on an engine of this worker; see ``resolve_engine_args``."""
        answering = checked_engine(engine)
        groups = _groups(model_args, data_args, finetuning_args, generating_args)
        made = VllmEngine(*await asyncio.to_thread(_hosted, groups), answering)
        return await _with_adapter(made)

    async def new_chat_model(self, args: Map, *, engine: Any) -> ChatModel:
        """``ChatModel(args)`` on an engine of this worker."""
        answering = checked_engine(engine)
        made = ChatModel(*await asyncio.to_thread(_hosted_of_flat, args), answering)
        await _with_adapter(made)
        return made

    def released(self, made: VllmEngine) -> None:
        """No client holds the object any more."""
        task = asyncio.ensure_future(_closed(made))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


async def _with_adapter(made: VllmEngine) -> VllmEngine:
    try:
        await made.load_adapter()
    except BaseException:
        await _closed(made)
        raise
    return made


async def _closed(made: VllmEngine) -> None:
    try:
        await made.close()
    except Exception as error:
        # Where the engine is dead or shut down, the adapter is gone with it.
        logger.debug("closing a %s failed: %s", type(made).__name__, error)


def _groups(
    model_args: Map, data_args: Map | None, finetuning_args: Map | None, generating_args: Map | None
) -> dict[str, Map]:
    return {
        "model_args": model_args,
        "data_args": data_args or {},
        "finetuning_args": finetuning_args or {},
        "generating_args": generating_args or {},
    }


def _hosted_of_flat(args: Map) -> tuple[Library, Any, list[str]]:
    return _hosted(grouped(library(), args))


def _hosted(groups: dict[str, Map]) -> tuple[Library, Any, list[str]]:
    """LLaMA-Factory, its engine, and what it logged meanwhile."""
    found = library()
    with found.notes() as notes:
        arguments = parsed(found, groups)
        hosted = reading(lambda: found.engine(arguments))
    return found, hosted, notes
