"""The renderers of an engine's chats, each with a tool parser and a reasoning parser.

A renderer is made once for each pair of parsers, because that loads the parsers' modules.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from python_worker.chat import vllm_parts
from python_worker.exceptions import InvalidArgument, Unsupported

FORMATS = ("auto", "string", "openai")
"""How the parts of a message's content are given to a chat template."""


class Parsers(NamedTuple):
    """How the text of a model is read.

    Attributes:
        tool_parser: vLLM's name of what finds the calls of tools, if something does.
        reasoning_parser: vLLM's name of what finds the reasoning; None for the engine's own.
        content_format: Of ``FORMATS``.
    """

    tool_parser: str | None
    reasoning_parser: str | None
    content_format: str


class Templates:
    """The renderers of all engines."""

    def __init__(self) -> None:
        self._renderers: WeakKeyDictionary[Any, dict[Parsers, Any]] = WeakKeyDictionary()

    def renderer(self, engine: Any, parsers: Parsers) -> Any:
        """The renderer for an engine and two parsers; the first use loads them.

        Raises:
            InvalidArgument: There is no parser of that name, or it does not fit the tokenizer.
            Unsupported: The engine has no tokenizer, or is none of vLLM's.
        """
        check_engine(engine)
        own = engine.vllm_config.structured_outputs_config.reasoning_parser
        parsers = parsers._replace(reasoning_parser=parsers.reasoning_parser or own or None)
        tool_parser, reasoning_parser, content_format = parsers
        renderers = self._renderers.setdefault(engine, {})
        if (known := renderers.get(parsers)) is not None:
            return known
        check_known("tool_parser", tool_parser, vllm_parts.tool_parsers)
        check_known("reasoning_parser", reasoning_parser, vllm_parts.reasoning_parsers)
        check_known("chat_template_content_format", content_format, lambda: list(FORMATS))
        try:
            renderer = vllm_parts.online_renderer(
                engine,
                chat_template=None,
                chat_template_content_format=content_format,
                tool_parser=tool_parser,
                reasoning_parser=reasoning_parser,
            )
        except Exception as error:
            raise InvalidArgument(
                f"tool_parser {tool_parser!r} and reasoning_parser {reasoning_parser!r} cannot be "
                f"used with this model: {error}",
                parameter="tool_parser" if reasoning_parser is None else "reasoning_parser",
            ) from error
        renderers[parsers] = renderer
        return renderer


def check_engine(engine: Any) -> None:
    """Refuse an engine that cannot chat.

    Raises:
        Unsupported: The engine has no tokenizer, or is none of vLLM's.
    """
    if getattr(engine, "renderer", None) is None:
        raise Unsupported("chat needs an engine of vLLM's own")
    if engine.renderer.tokenizer is None:
        raise Unsupported("chat needs an engine with a tokenizer; this one skipped it")


def check_known(parameter: str, name: str | None, known: Callable[[], list[str]]) -> None:
    """Refuse a name that is none of those that are known.

    Raises:
        InvalidArgument: It is another.
    """
    if name is None or name in (names := known()):
        return
    close = difflib.get_close_matches(name, names, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else "."
    raise InvalidArgument(
        f"{parameter}: there is no {name!r}{hint} There are {', '.join(names)}",
        parameter=parameter,
    )
