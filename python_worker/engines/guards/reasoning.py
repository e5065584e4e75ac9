"""Reasoning parsers: a request's keywords are tried here before EngineCore uses them.

EngineCore makes the parser of a request with structured outputs in the middle of a step, from
``reasoning_parser_kwargs`` as they came. An error there ends the engine.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from python_worker.engines.guards.protocols import EngineCoreRequest
from python_worker.exceptions import InvalidArgument

Parser = Callable[..., object]
"""The class of a reasoning parser."""

logger = logging.getLogger(__name__)


def parser_class(name: str, find: Callable[[str], Parser]) -> Parser | None:
    """The class of an engine's reasoning parser.

    Args:
        name: As the engine was given it; may be empty.
        find: vLLM's own look-up.

    Returns:
        None where there is none, or where only EngineCore has loaded it.
    """
    if not name:
        return None
    try:
        return find(name)
    except Exception as error:
        logger.warning(
            "the reasoning parser %s cannot be loaded in the worker, so reasoning_parser_kwargs "
            "are not checked: %s",
            name,
            error,
        )
        return None


def check_reasoning(request: EngineCoreRequest, parser: Parser | None, tokenizer: object) -> None:
    """Refuse keywords that the parser of this engine does not take.

    Args:
        request: vLLM's ``EngineCoreRequest``.
        parser: The class; None where the engine has none.
        tokenizer: The engine's.
    """
    keywords = request.reasoning_parser_kwargs
    if not keywords or parser is None:
        return
    try:
        parser(tokenizer=tokenizer, **keywords)
    except Exception as error:
        name = getattr(parser, "__name__", parser)
        raise InvalidArgument(
            f"reasoning_parser_kwargs: {name} does not take them: {error}",
            parameter="reasoning_parser_kwargs",
        ) from error
