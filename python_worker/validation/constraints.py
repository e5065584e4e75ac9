"""What the annotation of a parameter does not say, by its name.

vLLM writes ``dict[str, Any]`` where a few keys of a known type are read, and
``int`` where only some numbers make sense. What is listed here ends an engine,
the worker, or the request of somebody else, if it passes.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Literal

from python_worker.codec.types import Record
from python_worker.validation.messages import refuse
from python_worker.validation.scalars import Check

Compile = Callable[[Any], Check]
"""From an annotation to its check: ``annotations.checker``."""

INT64 = 2**63 - 1

# Tokenizers read these from ``tokenization_kwargs``; vLLM ignores any other.
TOKENIZATION: Mapping[str, Any] = {
    "max_length": int | None,
    "pad_prompt_tokens": int | None,
    "truncate_prompt_tokens": int | None,
    "truncation_side": Literal["left", "right"] | None,
    "do_lower_case": bool,
    "add_special_tokens": bool,
    "needs_detokenization": bool,
    "padding": bool | str | None,
    "truncation": bool | str | None,
}

# EngineCore and its workers read these from ``extra_args``, ``reasoning_parser_kwargs``
# and ``extra_kwargs``.
EXTRA_ARGS: Mapping[str, Any] = {
    "kv_transfer_params": dict[str, Any] | None,
    "ec_transfer_params": dict[str, Any] | None,
    "kv_cache_report_mode": str | None,
}
REASONING: Mapping[str, Any] = {"chat_template_kwargs": dict[str, Any] | None}
EXTRA_KWARGS: Mapping[str, Any] = {"compressed_token_type_ids": int | None}

# What objects get that are made here of what a client sent, each for one call.
MADE_HERE: Mapping[str, Mapping[str, Any]] = {
    # Else vLLM copies them with all that is in them, lest their owner change them: 29 µs a request.
    # Its own servers say the same of theirs. Whatever a client says of it, it holds of these.
    "vllm.sampling_params.SamplingParams": {"skip_clone": True},
}

PLAIN = (bool, int, float, str, bytes, dt.datetime, dt.date, dt.time)
"""What ``carried`` lets through beside containers."""


def in_range(lowest: float, highest: float, wanted: str) -> Check:
    """Numbers between two bounds, both included."""

    def check(value: Any, path: str) -> Any:
        if value is not None and not lowest <= value <= highest:
            refuse(value, path, wanted)
        return value

    return check


def only(choice: str, wanted: str) -> Check:
    """One text and no other."""

    def check(value: Any, path: str) -> Any:
        return value if value == choice else refuse(value, path, wanted)

    return check


def not_empty(value: Any, path: str) -> Any:
    """Texts that are not empty."""
    return value or refuse(value, path, "a text that is not empty")


def carried(value: Any, path: str) -> Any:
    """What goes on to other processes: nothing but plain data.

    A tensor in here arrives as a view of a message, which the engine cannot
    hand on to its workers: it ends there, and with it every request.
    """
    if isinstance(value, dict):
        return {_key(key, path): carried(item, f"{path}[{key!r}]") for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return type(value)(carried(item, f"{path}[{i}]") for i, item in enumerate(value))
    if isinstance(value, Record):
        return carried(value.fields, path)
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        refuse(value, path, "an int of at most 64 bits")
    if value is not None and not isinstance(value, PLAIN):
        refuse(value, path, "plain data: texts, numbers, lists and maps")
    return value


def _key(key: Any, path: str) -> Any:
    if isinstance(key, (str, int)):
        return carried(key, f"{path} key {key!r}")
    return refuse(key, f"{path} key", "str | int")


def named(value: Any, path: str) -> Any:
    """Keyword arguments, whose names are texts."""
    for key in value or ():
        if not isinstance(key, str):
            refuse(key, f"{path} key", "str")
    return value


def keys(table: Mapping[str, Any], compile_: Compile) -> Check:
    """Maps whose known keys have known types."""
    return checked_keys({key: compile_(annotation) for key, annotation in table.items()})


def checked_keys(checks: Mapping[str, Check]) -> Check:
    """Maps of which some keys are checked."""

    def check(value: Any, path: str) -> Any:
        if not value:
            return value
        return {
            key: checks[key](item, f"{path}[{key!r}]") if key in checks else item
            for key, item in value.items()
        }

    return check


def all_of(*checks: Check) -> Check:
    """One check after the other."""

    def check_all(value: Any, path: str) -> Any:
        for check in checks:
            value = check(value, path)
        return value

    return check_all


def rows(lists: Check) -> Check:
    """An array of numbers, or rows as lists; numpy's is what vLLM wants."""

    def check(value: Any, path: str) -> Any:
        if hasattr(value, "__array__") and hasattr(value, "dtype"):
            # bfloat16 and its like are nothing that numpy has.
            if "int" not in str(value.dtype):
                refuse(value, path, "an array of int")
            return value.__array__()
        return lists(value, path)

    return check


def made_by_vllm(name: str) -> Check:
    """Objects of a class that only vLLM's own renderer can make."""

    def check(value: Any, path: str) -> Any:
        if name not in (cls.__name__ for cls in type(value).__mro__):
            refuse(value, path, f"{name}, which only vLLM's renderer makes")
        return value

    return check


def each_of(check: Check) -> Check:
    """Maps of lists, all of whose items are checked."""

    def check_items(value: Any, path: str) -> Any:
        for key, items in value.items():
            for index, item in enumerate(items):
                check(item, f"{path}[{key!r}][{index}]")
        return value

    return check_items


@cache
def more_checks(compile_: Compile) -> Mapping[str, Check]:
    """What a parameter must be beside its annotation.

    By its name, or where others have the same one, by the method or class and
    its name.
    """
    seconds = in_range(0, math.inf, "a number of seconds, 0 or more")
    lora_id = in_range(1, INT64, "an int from 1 to 2**63 - 1")
    extra_kwargs = {"compressed_token_type_ids": in_range(0, INT64, "a position, 0 or more")}
    mm_kwargs = made_by_vllm("MultiModalKwargsItems")
    mm_placeholders = each_of(made_by_vllm("PlaceholderRange"))
    return {
        "tokenization_kwargs": keys(TOKENIZATION, compile_),
        "arrival_time": in_range(0, 2**53, "seconds since 1970"),
        "data_parallel_rank": in_range(0, INT64, "a rank, 0 or more"),
        "drain_timeout": seconds,
        "shutdown.timeout": seconds,
        "collective_rpc.timeout": in_range(1e-6, math.inf, "a number of seconds above 0"),
        "collective_rpc.args": carried,
        "collective_rpc.kwargs": all_of(named, carried),
        "lora_id": lora_id,
        "LoRARequest.lora_int_id": lora_id,
        "SamplingParams.extra_args": all_of(keys(EXTRA_ARGS, compile_), carried),
        "PoolingParams.extra_kwargs": all_of(
            keys(EXTRA_KWARGS, compile_), checked_keys(extra_kwargs), carried
        ),
        "reasoning_parser_kwargs": all_of(keys(REASONING, compile_), carried),
        "kv_transfer_params": carried,
        "KvHintAction.payload": carried,
        "LateInteractionParams.mode": only(
            "cache_query", "'cache_query': a document whose query is not cached ends the engine"
        ),
        "LateInteractionParams.query_key": not_empty,
        "WeightTransferInitRequest.init_info": carried,
        "WeightTransferUpdateRequest.update_info": carried,
        "MultiModalInput.mm_kwargs": mm_kwargs,
        "MultiModalInput.mm_placeholders": mm_placeholders,
        "MultiModalEncDecInput.mm_kwargs": mm_kwargs,
        "MultiModalEncDecInput.mm_placeholders": mm_placeholders,
    }


@cache
def other_checks(compile_: Compile) -> Mapping[str, Check]:
    """What takes the place of an annotation, by class and field."""
    return {"SamplingParams.prompt_logprob_token_ids": rows(compile_(list[list[int]] | None))}


def check_of(owner: str, name: str, annotation: Any, compile_: Compile) -> Check:
    """The whole check of a parameter or field.

    Args:
        owner: The name of the method or class.
        name: The parameter's or the field's.
        annotation: Its own.
        compile_: Gives the check of an annotation.
    """
    full = f"{owner}.{name}"
    check = other_checks(compile_).get(full) or compile_(annotation)
    table = more_checks(compile_)
    more = table.get(full) or table.get(name)
    return check if more is None else all_of(check, more)
