"""The images, videos and audio of a prompt: ``multi_modal_data``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

from python_worker.engines.media import limits
from python_worker.engines.media.loading import Loader
from python_worker.engines.media.names import name_of
from python_worker.engines.media.sources import (
    KINDS,
    Source,
    items_of,
    source_of,
    sources_in,
)
from python_worker.exceptions import InvalidArgument, Unsupported
from python_worker.finite import is_array
from python_worker.process import large_work

DATA: Final = "multi_modal_data"
UUIDS: Final = "multi_modal_uuids"
PROCESSOR: Final = "mm_processor_kwargs"
PARTS: Final = ("encoder_prompt", "decoder_prompt")

OF_REQUESTS: Final = frozenset(
    {
        *("min_pixels", "max_pixels", "fps", "num_frames", "num_crops", "use_audio_in_video"),
        *("min_dynamic_patch", "max_dynamic_patch", "dynamic_image_size", "do_pan_and_scan"),
    }
)
"""What a request may tell the model's processor. With others, such as the size of a patch, it makes
what the model cannot take, and that ends the engine."""


def has_media(prompt: Any) -> bool:
    """Whether anything in a prompt is for a processor."""
    if not isinstance(prompt, dict):
        return False
    if prompt.get(DATA) or prompt.get(PROCESSOR):
        return "type" not in prompt
    return any(has_media(prompt.get(part)) for part in PARTS)


async def loaded_prompt(engine: Any, prompt: dict[str, Any], path: str = "prompt") -> Any:
    """A prompt as vLLM takes it: what was written in it is read.

    Args:
        engine: What it is for.
        prompt: For which ``has_media`` is true. It is left as it is.
        path: Its name, for errors.

    Raises:
        BridgeError: Something of it cannot be read; the message names it.
    """
    changed = dict(prompt)
    for part in PARTS:
        if has_media(prompt.get(part)):
            changed[part] = await loaded_prompt(engine, prompt[part], f"{path}.{part}")
    check_processor_kwargs(prompt.get(PROCESSOR), f"{path}.{PROCESSOR}")
    data = prompt.get(DATA)
    if isinstance(data, Mapping) and data:
        loader = Loader(engine, prompt.get("media_io_kwargs"))
        changed[DATA] = await _loaded_data(loader, data, f"{path}.{DATA}")
        if isinstance(prompt.get(UUIDS), Mapping):
            name = partial(_named, engine, changed)
            changed[UUIDS] = await large_work.in_thread(name)
    return changed


def _named(engine: Any, prompt: Mapping[str, Any]) -> dict[str, Any]:
    """The names of what was read: see ``names``."""
    settings = (prompt.get("media_io_kwargs"), prompt.get(PROCESSOR))
    named = {}
    for kind, given in prompt[UUIDS].items():
        values = prompt[DATA].get(kind)
        values = values if isinstance(values, list) else [values]
        uuids = [given] if isinstance(given, str) else given
        if not isinstance(uuids, (list, tuple)) or len(uuids) != len(values):
            named[kind] = given  # vLLM refuses it
            continue
        named[kind] = [
            uuid
            if uuid is None
            else name_of(engine.renderer, str(kind), str(uuid), value, *settings)
            for uuid, value in zip(uuids, values, strict=True)
        ]
    return named


async def _loaded_data(loader: Loader, data: Mapping[str, Any], path: str) -> dict[str, Any]:
    found = {
        kind: found_in(loader, kind, value, f"{path}[{kind!r}]") if kind in KINDS else value
        for kind, value in data.items()
    }
    counts: dict[str, int] = {kind: count_of(found[kind]) for kind in KINDS if kind in found}
    loader.check_counts(counts, path)
    sources = [source for kind in counts for source in sources_in(found[kind])]
    loaded = iter(await loader.load_all(sources))
    return {kind: filled(value, loaded) for kind, value in found.items()}


def found_in(loader: Loader, kind: str, value: Any, path: str) -> Any:
    """The value of one modality, with sources where something has to be read."""
    if is_array(value) and loader.takes_embeddings and _may_be_embeddings(value):
        return value
    items = items_of(kind, value)
    if items is None:
        return source_of(kind, value, path)
    if loader.takes_embeddings and items and all(map(_may_be_embeddings, items)):
        return value
    return [source_of(kind, item, f"{path}[{n}]") for n, item in enumerate(items)]


def _may_be_embeddings(value: Any) -> bool:
    return is_array(value) and "float" in str(value.dtype)


def count_of(value: Any) -> int:
    """How many items of a value are to be read, or are known by a name; the others are vLLM's."""
    if isinstance(value, list):
        return sum(it is None or isinstance(it, Source) for it in value)
    return int(isinstance(value, Source))


def filled(value: Any, loaded: Any) -> Any:
    """The value with what was read in the place of its sources.

    Args:
        value: Of ``found_in``.
        loaded: What was read of its sources, in their order: an iterator.
    """
    if isinstance(value, list):
        return [next(loaded) if isinstance(it, Source) else it for it in value]
    # A list also where there is one: vLLM takes a video with its metadata for two.
    return [next(loaded)] if isinstance(value, Source) else value


def check_processor_kwargs(given: Any, path: str) -> None:
    """Refuse what would have the processor make what the model cannot take.

    Raises:
        Unsupported: A key is not for requests.
        InvalidArgument: A number is too large, or none.
    """
    if given is None:
        return
    if not isinstance(given, Mapping):
        raise InvalidArgument(f"{path}: wants a map, got {type(given).__name__}", parameter=path)
    unknown = sorted(map(str, given.keys() - OF_REQUESTS))
    if unknown:
        raise Unsupported(
            f"{path}: {unknown[0]!r} is not for a request, because the model may not be able to "
            f"take what comes of it; build the engine with {PROCESSOR}. A request may have "
            f"{', '.join(sorted(OF_REQUESTS))}",
            parameter=f"{path}[{unknown[0]!r}]",
        )
    for name, value in given.items():
        if not isinstance(value, (bool, int, float)) or value < 0:
            raise InvalidArgument(
                f"{path}[{name!r}]: wants a number that is 0 or more, or a bool, got {value!r}",
                parameter=f"{path}[{name!r}]",
            )
    limits.check_processor_kwargs(given, path)


@contextmanager
def processing(path: str) -> Iterator[None]:
    """What is raised while a prompt is prepared is about the prompt, while this is entered.

    Args:
        path: Of the prompt.

    Raises:
        InvalidArgument: What was raised says nothing about whose fault it was.
    """
    try:
        yield
    except (AssertionError, LookupError, ArithmeticError) as error:
        raise InvalidArgument(
            f"{path}: cannot be prepared for this model: {type(error).__name__}: {error}",
            parameter=path,
        ) from error


async def loaded_prompts(engine: Any, prompts: Any, path: str = "prompts") -> Any:
    """The prompts of a batch, likewise; one prompt stays one."""
    if isinstance(prompts, dict):
        return await loaded_prompt(engine, prompts, path) if has_media(prompts) else prompts
    if not isinstance(prompts, (list, tuple)):
        return prompts
    if not any(map(has_media, prompts)):
        return prompts
    return [
        await loaded_prompt(engine, prompt, f"{path}[{n}]") if has_media(prompt) else prompt
        for n, prompt in enumerate(prompts)
    ]
