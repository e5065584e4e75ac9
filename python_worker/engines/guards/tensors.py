"""Tensors in requests: no number that a model gets is NaN or infinite.

They are checked twice. What a client sends is checked before anything is done with it, and the
error names the client's own tensor. What vLLM makes of it is checked on its way to EngineCore: its
processors compute, and cast to the model's dtype.

A check takes a few hundredths of the transport of the tensor: ``tests/bench/finite_numbers.py``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any

from python_worker.engines.guards.protocols import EngineCoreRequest
from python_worker.exceptions import InvalidArgument
from python_worker.finite import first_not_finite, is_array
from python_worker.process import large_work

OFF_LOOP_BYTES = 8 * 2**20
"""From this size on tensors are checked in a thread: to check them takes half a millisecond or
more, to hand them over a tenth."""

# The fields of vLLM's prompts whose numbers reach the model, alone or as factors. All others hold
# texts, ids and hashes.
EMBEDS = "prompt_embeds"
FIELDS = (EMBEDS, "multi_modal_data", "mm_processor_kwargs", "media_io_kwargs")
# The fields that hold prompts.
PROMPTS = ("encoder_prompt", "decoder_prompt")

Numbers = tuple[str, Any, Any]
"""The path of some numbers, the numbers, and the dtype that they will have, or None."""


async def check_prompt_tensors(prompt: object, dtype: object) -> None:
    """Refuse a prompt with a number that is none.

    Args:
        prompt: Checked by ``validation``.
        dtype: The model's, of torch's.

    Raises:
        InvalidArgument: It names the field, the number's position and the number.
    """
    if not isinstance(prompt, dict):
        return
    given = [field for field in (*FIELDS, *PROMPTS) if prompt.get(field) is not None]
    if given:
        # Only embeddings have a size that can be told before they are gone through.
        size = prompt[EMBEDS].nbytes if given == [EMBEDS] else OFF_LOOP_BYTES
        await _check(_of_prompt(prompt, "prompt", dtype), size)


async def check_request_tensors(request: EngineCoreRequest, dtype: object) -> None:
    """Refuse a request that vLLM has made, likewise.

    Args:
        request: Ready to be sent.
        dtype: The model's, of torch's.
    """
    numbers: list[Numbers] = []
    if request.prompt_embeds is not None:
        numbers.append((f"prompt.{EMBEDS}", request.prompt_embeds, dtype))
    for feature in request.mm_features or ():
        path = f"prompt.multi_modal_data[{feature.modality!r}]"
        # None where EngineCore has it in its cache.
        for key, element in (feature.data or {}).items():
            numbers += _within(element.data, f"{path}.{key}", None)
    await _check(numbers, sum(it.nbytes for _, it, _ in numbers if is_array(it)))


def _of_prompt(prompt: Mapping[str, Any], path: str, dtype: object) -> Iterator[Numbers]:
    for field in FIELDS:
        if prompt.get(field) is not None:
            wanted = dtype if field == EMBEDS else None
            yield from _within(prompt[field], f"{path}.{field}", wanted)
    for field in PROMPTS:
        if isinstance(prompt.get(field), dict):
            yield from _of_prompt(prompt[field], f"{path}.{field}", dtype)


def _within(value: object, path: str, dtype: object) -> Iterator[Numbers]:
    """The numbers in a value, in order. Without recursion: a value may be deep."""
    waiting = [(path, value)]
    while waiting:
        path, value = waiting.pop()
        if is_array(value):
            yield path, value, dtype
        elif isinstance(value, float):
            yield path, (value,), None
        elif isinstance(value, Mapping):
            items = [(f"{path}[{key!r}]", item) for key, item in value.items()]
            waiting += reversed(items)
        elif isinstance(value, (list, tuple)):
            if value and set(map(type, value)) <= {int, float, bool}:
                yield path, value, None
            else:
                waiting += [(f"{path}[{i}]", it) for i, it in reversed(list(enumerate(value)))]


async def _check(numbers: Iterable[Numbers], size: int) -> None:
    if size < OFF_LOOP_BYTES:
        _check_now(numbers)
    else:
        await large_work.in_thread(partial(_check_now, numbers))


def _check_now(numbers: Iterable[Numbers]) -> None:
    for path, values, dtype in numbers:
        found = first_not_finite(values, dtype)
        if found is not None:
            # A float that stands alone is a tuple of one, and has no position.
            position = [] if isinstance(values, tuple) and len(values) == 1 else found.position
            index = f"[{', '.join(map(str, position))}]" if position else ""
            raise InvalidArgument(
                f"{path}{index}: wants a finite number, got {found.text}",
                parameter=path,
                position=list(position),
                value=found.value,
            )
