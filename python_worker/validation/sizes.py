"""How large an argument may be, where vLLM has no limit of its own.

vLLM checks these arguments, or uses them for each token, in the process that serves all clients.
What is larger than here has no use that we know of, and would keep the others waiting. Each error
says the limit.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from itertools import islice
from typing import Any, Final

from python_worker.codec.depth import STEP
from python_worker.codec.types import Record
from python_worker.exceptions import LimitExceeded

MAX_PLAIN_VALUES: Final = 400_000
"""Values in a parameter that is passed on to EngineCore as it came: more than any vocabulary has.
They are encoded in one call, twice, and decoded in one."""

MAX_STOP_TEXTS: Final = 1024
"""vLLM looks for each of them after each token."""

MAX_FOREIGN_CHARS: Final = 2 * 1024 * 1024
"""Characters of text for a tokenizer: its answer holds an object for each token."""

MAX_BAD_WORD_CHARS: Final = 4096

MAX_CONSTRAINT_CHARS: Final = 128 * 1024
"""Characters of a JSON schema or a grammar: what hosted services accept. vLLM compiles it twice."""

MAX_NAME_CHARS: Final = 16 * 1024
"""Characters of an id, a name or a path."""

MAX_IDS: Final = 100_000
"""Requests that are aborted by one call."""

MAX_REGEX_CHARS: Final = 16 * 1024

MAX_CHOICES: Final = 1024

Check = Callable[[Any, str], Any]


def exceeded(path: str, what: str, size: int, limit: int) -> LimitExceeded:
    """The error for an argument that is too large."""
    return LimitExceeded(
        f"{path}: {size} {what}; the limit is {limit}", parameter=path, size=size, limit=limit
    )


def at_most(limit: int, what: str) -> Check:
    """Returns a check of how long a text or a list is; None passes."""

    def check(value: Any, path: str) -> Any:
        if isinstance(value, (str, list, tuple, set, frozenset, dict)) and len(value) > limit:
            raise exceeded(path, what, len(value), limit)
        return value

    return check


def each_at_most(limit: int, what: str) -> Check:
    """Returns a check of how long each text of a list is."""

    def check(value: Any, path: str) -> Any:
        if not isinstance(value, (list, tuple)):
            return value
        for index, item in enumerate(value):
            if isinstance(item, str) and len(item) > limit:
                raise exceeded(f"{path}[{index}]", what, len(item), limit)
        return value

    return check


def plain_values(value: Any, path: str) -> Any:
    """Checks how many values a parameter holds that is passed on to EngineCore."""
    count = 0
    for container in containers_of(value):
        count += len(container)
        if count > MAX_PLAIN_VALUES:
            raise exceeded(path, "values or more", count, MAX_PLAIN_VALUES)
    return value


def check_foreign(arguments: Any) -> None:
    """Checks the arguments of a method of another library's, such as a tokenizer's.

    They work on all of it in one call of C, which keeps all other threads waiting.
    """
    plain_values(arguments, "arguments")
    for container in containers_of(arguments):
        parts = container.values() if isinstance(container, dict) else container
        size = sum(len(it) for it in parts if type(it) is str)
        if size > MAX_FOREIGN_CHARS:
            raise exceeded("arguments", "characters of text", size, MAX_FOREIGN_CHARS)


def constraint(value: Any, path: str) -> Any:
    """Checks the size of a schema, which may be a text or a map."""
    if isinstance(value, str):
        size = len(value)
    else:
        plain_values(value, path)
        try:
            size = len(json.dumps(value))
        except (TypeError, ValueError):
            return value  # vLLM says what is wrong with it
    if size > MAX_CONSTRAINT_CHARS:
        raise exceeded(path, "characters", size, MAX_CONSTRAINT_CHARS)
    return value


def containers_of(value: Any) -> Iterator[Collection[Any]]:
    """Yields a container and all within it."""
    pending = [value]
    while pending:
        container = pending.pop()
        if isinstance(container, Record):
            container = container.fields
        if isinstance(container, dict):
            yield container
            pending += [it for it in container.values() if isinstance(it, _CONTAINERS)]
        elif isinstance(container, (list, tuple, set, frozenset)):
            yield container
            if not _CONTAINERS_EXACT.isdisjoint(types_of(container)):
                pending += [it for it in container if isinstance(it, _CONTAINERS)]


_CONTAINERS: Final = (dict, list, tuple, set, frozenset, Record)
_CONTAINERS_EXACT: Final = frozenset(_CONTAINERS)


def types_of(values: Collection[Any]) -> set[type]:
    """Returns the types of the values, in calls of C that do not last long."""
    if len(values) <= STEP:
        return set(map(type, values))
    found: set[type] = set()
    iterator = iter(values)
    while piece := list(islice(iterator, STEP)):
        found.update(map(type, piece))
    return found


def all_names(value: Any, path: str) -> Any:
    """Checks how many requests are named."""
    return name(value, path) if isinstance(value, str) else at_most(MAX_IDS, "ids")(value, path)


def name(value: Any, path: str) -> Any:
    """Checks the length of a name or an id."""
    return at_most(MAX_NAME_CHARS, "characters")(value, path) if isinstance(value, str) else value


SIZES: Final[Mapping[str, Check]] = {
    "abort.request_id": all_names,
    "request_id": name,
    "session_id": name,
    "cache_salt": name,
    "lora_name": name,
    "lora_path": name,
    "SamplingParams.allowed_token_ids": at_most(MAX_PLAIN_VALUES, "ids"),
    "SamplingParams.stop_token_ids": at_most(MAX_PLAIN_VALUES, "ids"),
    "SamplingParams.logit_bias": at_most(MAX_PLAIN_VALUES, "ids"),
    "SamplingParams.bad_words": each_at_most(MAX_BAD_WORD_CHARS, "characters"),
    "SamplingParams.extra_args": plain_values,
    "SamplingParams.stop": at_most(MAX_STOP_TEXTS, "texts"),
    "PoolingParams.extra_kwargs": plain_values,
    "StructuredOutputsParams.json": constraint,
    "StructuredOutputsParams.grammar": at_most(MAX_CONSTRAINT_CHARS, "characters"),
    "StructuredOutputsParams.structural_tag": at_most(MAX_CONSTRAINT_CHARS, "characters"),
    "StructuredOutputsParams.regex": at_most(MAX_REGEX_CHARS, "characters"),
    "StructuredOutputsParams.choice": at_most(MAX_CHOICES, "choices"),
    "collective_rpc.args": plain_values,
    "collective_rpc.kwargs": plain_values,
    "kv_transfer_params": plain_values,
    "reasoning_parser_kwargs": plain_values,
    "trace_headers": plain_values,
}
"""By the names of ``constraints.additional_checks``."""
