"""No argument of vLLM's methods is so deep that its checks reach Python's limit of recursion."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest

from python_worker.codec.depth import MAX_DEPTH
from python_worker.codec.types import Record
from python_worker.engines.builder import import_async_llm
from python_worker.exceptions import InvalidArgument
from python_worker.validation.signatures import signature_of

WRAPS: dict[str, Callable[[Any], Any]] = {
    "list": lambda value: [value],
    "map": lambda value: {"k": value},
    "tuple": lambda value: (value,),
    "tuple as a key": lambda value: {(value,): 1} if isinstance(value, (int, tuple)) else (1,),
    "prompt": lambda value: {"prompt": value, "multi_modal_data": {"image": value}},
    "encoder": lambda value: {"encoder_prompt": value, "decoder_prompt": None},
    "images": lambda value: {"prompt": "x", "multi_modal_data": {"image": [value]}},
    "struct": lambda value: Record("SamplingParams", {"extra_args": {"x": value}}),
    "schema": lambda value: Record("StructuredOutputsParams", {"json": {"properties": value}}),
    "constraint": lambda value: Record("SamplingParams", {"structured_outputs": value}),
}
#: How many containers each of them is.
LEVELS = {"prompt": 2, "images": 3, "struct": 2, "schema": 2, "tuple as a key": 2}

METHODS = {
    name: member
    for name, member in vars(import_async_llm()).items()
    if inspect.isfunction(member) and not name.startswith("_")
}


@pytest.mark.parametrize("shape", WRAPS)
@pytest.mark.parametrize("method", METHODS)
def test_a_value_as_deep_as_the_limit_is_checked_in_every_place(method: str, shape: str) -> None:
    value: Any = 1
    # A value with its root in a list, as the arguments come, and its doubled parts once.
    for _ in range((MAX_DEPTH - 1) // LEVELS.get(shape, 1)):
        value = WRAPS[shape](value) if shape != "prompt" else {"prompt": [value]}
    signature = signature_of(METHODS[method], strict=True)
    for name in signature.checks:
        try:
            signature.checks[name](value, name)
        except InvalidArgument as error:
            assert len(str(error)) < 20_000  # noqa: PT017
