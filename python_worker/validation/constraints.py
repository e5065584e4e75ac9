"""Checks of parameters beyond their annotations, by the name of the parameter.

vLLM writes ``dict[str, Any]`` where it reads a few keys of a known type, and ``int`` where only
some numbers make sense. Each value that is rejected here would end an engine, the worker, or
requests of other clients.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Collection, Mapping
from functools import cache
from typing import Any, Literal

from python_worker.codec.types import Record
from python_worker.validation.messages import refuse
from python_worker.validation.scalars import Check
from python_worker.validation.sizes import SIZES, types_of

Compile = Callable[[Any], Check]
"""Returns the check of an annotation: ``annotations.checker``."""

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

# Fields of objects that are made here from a client's struct, each object for one call. They
# replace what the client sent.
FIXED_FIELDS: Mapping[str, Mapping[str, Any]] = {
    # Without it vLLM copies each with all that is in it, in case its owner changes it: 29 µs a
    # request. vLLM's own servers set it as well.
    "vllm.sampling_params.SamplingParams": {"skip_clone": True},
}

PLAIN = (bool, int, float, str, bytes, dt.datetime, dt.date, dt.time)
"""The types that ``plain_data`` accepts beside containers."""


def in_range(lowest: float, highest: float, wanted: str) -> Check:
    """Returns a check of a number between two bounds, both included; None passes."""

    def check(value: Any, path: str) -> Any:
        if value is not None and not lowest <= value <= highest:
            refuse(value, path, wanted)
        return value

    return check


def equal_to(choice: str, wanted: str) -> Check:
    """Returns a check of a text that has one allowed value."""

    def check(value: Any, path: str) -> Any:
        return value if value == choice else refuse(value, path, wanted)

    return check


def not_empty(value: Any, path: str) -> Any:
    """Checks a text, which must not be empty."""
    return value or refuse(value, path, "a text that is not empty")


def plain_data(value: Any, path: str) -> Any:
    """Checks a value that vLLM sends on to its other processes: plain data only.

    A tensor would reach EngineCore as a view of a message. EngineCore cannot send that on to its
    workers, and ends with every request.
    """
    if isinstance(value, dict):
        return {
            _key(key, path): plain_data(item, f"{path}[{key!r}]") for key, item in value.items()
        }
    if isinstance(value, (list, tuple, set, frozenset)):
        if all_plain(value):
            return value
        return type(value)(plain_data(item, f"{path}[{i}]") for i, item in enumerate(value))
    if isinstance(value, Record):
        return plain_data(value.fields, path)
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        refuse(value, path, "an int of at most 64 bits")
    if value is not None and not isinstance(value, PLAIN):
        refuse(value, path, "plain data: texts, numbers, lists and maps")
    return value


def all_plain(values: Collection[Any]) -> bool:
    """Whether all values are of one simple type, which is seen at once, and none too large."""
    types = types_of(values)
    if types <= {str} or types <= {bool} or types <= {float} or types <= {type(None)}:
        return True
    return types <= {int} and (
        not values or (min(values) >= -(2**63) and max(values) < 2**64)  # 64 bits
    )


def _key(key: Any, path: str) -> Any:
    if isinstance(key, (str, int)):
        return plain_data(key, f"{path} key {key!r}")
    return refuse(key, f"{path} key", "str | int")


def not_extreme(value: Any, path: str) -> Any:
    """Checks a factor of logits, which are float32: beyond these bounds it makes no numbers."""
    # vLLM refuses those that are not above 0.
    if value is not None and not (value <= 0 or 1e-30 <= value <= 1e30):
        refuse(value, path, "a number from 1.0e-30 to 1.0e30")
    return value


def keyword_arguments(value: Any, path: str) -> Any:
    """Checks keyword arguments, whose names must be texts."""
    for key in value or ():
        if not isinstance(key, str):
            refuse(key, f"{path} key", "str")
    return value


def typed_keys(table: Mapping[str, Any], compile_: Compile) -> Check:
    """Returns a check of a map, whose known keys must have values of known types."""
    return checked_keys({key: compile_(annotation) for key, annotation in table.items()})


def checked_keys(checks: Mapping[str, Check]) -> Check:
    """Returns a check of a map, with a check for the values of some keys."""

    def check(value: Any, path: str) -> Any:
        if not value:
            return value
        return {
            key: checks[key](item, f"{path}[{key!r}]") if key in checks else item
            for key, item in value.items()
        }

    return check


def all_of(*checks: Check) -> Check:
    """Returns a check that applies several checks in turn."""

    def check_all(value: Any, path: str) -> Any:
        for check in checks:
            value = check(value, path)
        return value

    return check_all


def integer_rows(lists: Check) -> Check:
    """Returns a check of rows of ints: an array, which becomes numpy's, or lists."""

    def check(value: Any, path: str) -> Any:
        if hasattr(value, "__array__") and hasattr(value, "dtype"):
            # Checked by name: numpy has no dtype for some of torch's, such as bfloat16.
            if "int" not in str(value.dtype):
                refuse(value, path, "an array of int")
            return value.__array__()
        return lists(value, path)

    return check


def made_by_vllm(name: str) -> Check:
    """Returns a check of an object of a class that only vLLM's own renderer makes."""

    def check(value: Any, path: str) -> Any:
        if name not in (cls.__name__ for cls in type(value).__mro__):
            refuse(value, path, f"{name}, which only vLLM's renderer makes")
        return value

    return check


def each_item(check: Check) -> Check:
    """Returns a check of a map of lists, with a check for each item of the lists."""

    def check_items(value: Any, path: str) -> Any:
        for key, items in value.items():
            for index, item in enumerate(items):
                check(item, f"{path}[{key!r}][{index}]")
        return value

    return check_items


@cache
def additional_checks(compile_: Compile) -> Mapping[str, Check]:
    """Checks that follow the check of the annotation.

    The key is the name of a parameter or field. Where that is ambiguous, the name of the method or
    class stands before it.
    """
    seconds = in_range(0, math.inf, "a number of seconds, 0 or more")
    lora_id = in_range(1, INT64, "an int from 1 to 2**63 - 1")
    extra_kwargs = {"compressed_token_type_ids": in_range(0, INT64, "a position, 0 or more")}
    mm_kwargs = made_by_vllm("MultiModalKwargsItems")
    mm_placeholders = each_item(made_by_vllm("PlaceholderRange"))
    return {
        "tokenization_kwargs": typed_keys(TOKENIZATION, compile_),
        "arrival_time": in_range(0, 2**53, "seconds since 1970"),
        "data_parallel_rank": in_range(0, INT64, "a rank, 0 or more"),
        "drain_timeout": seconds,
        "shutdown.timeout": seconds,
        "collective_rpc.timeout": in_range(1e-6, math.inf, "a number of seconds above 0"),
        "collective_rpc.args": plain_data,
        "collective_rpc.kwargs": all_of(keyword_arguments, plain_data),
        "lora_id": lora_id,
        "LoRARequest.lora_int_id": lora_id,
        "SamplingParams.repetition_penalty": not_extreme,
        # The score of a beam is divided by its length to this power, which has to be a float.
        "BeamSearchParams.length_penalty": in_range(-40, 40, "a number from -40 to 40"),
        "SamplingParams.extra_args": all_of(typed_keys(EXTRA_ARGS, compile_), plain_data),
        "PoolingParams.extra_kwargs": all_of(
            typed_keys(EXTRA_KWARGS, compile_), checked_keys(extra_kwargs), plain_data
        ),
        "reasoning_parser_kwargs": all_of(typed_keys(REASONING, compile_), plain_data),
        "kv_transfer_params": plain_data,
        "KvHintAction.payload": plain_data,
        "LateInteractionParams.mode": equal_to(
            "cache_query", "'cache_query': a document whose query is not cached ends the engine"
        ),
        "LateInteractionParams.query_key": not_empty,
        "WeightTransferInitRequest.init_info": plain_data,
        "WeightTransferUpdateRequest.update_info": plain_data,
        "MultiModalInput.mm_kwargs": mm_kwargs,
        "MultiModalInput.mm_placeholders": mm_placeholders,
        "MultiModalEncDecInput.mm_kwargs": mm_kwargs,
        "MultiModalEncDecInput.mm_placeholders": mm_placeholders,
    }


@cache
def replacing_checks(compile_: Compile) -> Mapping[str, Check]:
    """Checks that replace the check of the annotation, by class and field."""
    return {
        "SamplingParams.prompt_logprob_token_ids": integer_rows(compile_(list[list[int]] | None))
    }


#: Parts of messages that the bridge adds to vLLM's: ``engines.media`` reads them.
MEDIA_PARTS = frozenset({"image", "video", "audio"})

#: Parameters whose messages may have such parts.
WITH_MEDIA = frozenset({"chat.messages", "enqueue_chat.messages"})

_ANY_TEXT: Mapping[str, str] = {"type": "text", "text": ""}


def beside_media(check: Check) -> Check:
    """The check of messages, which passes over parts that the bridge adds to vLLM's."""

    def check_rest(value: Any, path: str) -> Any:
        rest = _without_media(value)
        if rest == value:
            return check(value, path)
        check(rest, path)
        return value

    return check_rest


def _without_media(value: Any) -> Any:
    """Messages or conversations, with a text in the place of each such part."""
    if isinstance(value, list):
        return [_without_media(it) for it in value]
    if not isinstance(value, dict) or not isinstance(value.get("content"), list):
        return value
    parts = [
        dict(_ANY_TEXT) if isinstance(it, dict) and it.get("type") in MEDIA_PARTS else it
        for it in value["content"]
    ]
    return {**value, "content": parts}


def check_of(owner: str, name: str, annotation: Any, compile_: Compile) -> Check:
    """Returns the whole check of a parameter or field.

    Args:
        owner: The name of the method or class.
        name: The name of the parameter or field.
        annotation: Its annotation.
        compile_: Returns the check of an annotation.
    """
    full = f"{owner}.{name}"
    check = replacing_checks(compile_).get(full) or compile_(annotation)
    if full in WITH_MEDIA:
        check = beside_media(check)
    table = additional_checks(compile_)
    more = table.get(full) or table.get(name)
    size = SIZES.get(full) or SIZES.get(name)
    checks = [it for it in (size, check, more) if it is not None]
    return check if len(checks) == 1 else all_of(*checks)
