"""The rows of ``surface`` for mellea."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

from python_worker.dispatch.served_classes import Constructors, ServedClass
from python_worker.integrations.mellea.backends import Backend
from python_worker.integrations.mellea.compile_cache import CompileCache
from python_worker.integrations.mellea.formatters import Formatter
from python_worker.integrations.mellea.options import ModelOption
from python_worker.integrations.mellea.sessions import Session
from python_worker.integrations.mellea.thunks import Thunk
from python_worker.integrations.mellea.tool_arguments import Tools
from python_worker.validation import signatures

NEW = "new"


def mellea() -> list[ServedClass]:
    """The classes of mellea that a client reaches."""
    return [_options(), _tools(), _compile_cache(), _formatter(), _backend(), _session(), _thunk()]


def _options() -> ServedClass:
    return ServedClass(
        name="MelleaModelOption",
        singleton=ModelOption(),
        shown=frozenset({"replace_keys", "remove_special_keys", "merge"}),
        strict=True,
    )


def _tools() -> ServedClass:
    return ServedClass(
        name="MelleaTools",
        singleton=Tools(),
        shown=frozenset({"parse_json", "validate_tool_arguments"}),
        strict=True,
    )


def _compile_cache() -> ServedClass:
    return ServedClass(
        name="MelleaCompileCache",
        singleton=CompileCache(),
        shown=frozenset({"remove"}),
        strict=True,
    )


def _formatter() -> ServedClass:
    return ServedClass(
        name="MelleaTemplateFormatter",
        cls=Formatter,
        constructors=_made_by(Formatter),
        shown=frozenset({"print", "to_chat_messages"}),
        strict=True,
    )


def _backend() -> ServedClass:
    return ServedClass(
        name="LocalVLLMBackend",
        cls=Backend,
        constructors=_made_by(Backend),
        shown=frozenset(
            {
                *("answer_hook", "effective_options", "engine_args", "from_mellea_model_opts_map"),
                *("generate_from_context", "generate_from_context_with_hooks"),
                *("generate_from_raw", "generate_from_raw_with_hooks", "new_thunk", "own"),
                *("post_processing", "processing", "render_prompt"),
                *("to_mellea_model_opts_map", "use_engine"),
            }
        ),
        strict=True,
        owner=lambda backend: backend.engine,
        # A call waits for the answer, and the limit may be reached by such calls.
        unlimited=frozenset({"answer_hook"}),
    )


def _session() -> ServedClass:
    return ServedClass(
        name="MelleaSession",
        cls=Session,
        constructors=_made_by(Session),
        shown=frozenset(
            {
                *("answer", "answer_hook", "chat", "context", "get_backend", "instruct"),
                *("reset", "validate"),
            }
        ),
        strict=True,
        owner=lambda session: session.engine,
        # A call waits for the answer, and the limit may be reached by such calls.
        unlimited=frozenset({"answer", "answer_hook"}),
    )


def _thunk() -> ServedClass:
    return ServedClass(
        name="ModelOutputThunk",
        cls=Thunk,
        shown=frozenset(
            {
                "astream",
                "avalue",
                "cancel",
                "generate_log",
                "is_computed",
                "parsed_repr",
                "request_id",
                "stream",
                "tool_calls",
                "value",
            }
        ),
        strict=True,
        owner=lambda thunk: thunk.engine,
        released=Thunk.released,
        unlimited=frozenset({"cancel"}),
    )


def _made_by(cls: type[Any]) -> Constructors:
    return Constructors({NEW}, functools.partial(_new, cls))


async def _new(
    cls: type[Any], method: str, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> object:
    checked = signatures.signature_of(cls.new, strict=True)
    bound_args, bound_kwargs = checked.bind(args, kwargs)
    return await cls.new(*bound_args, **bound_kwargs)
