"""The images, videos and audio of a chat: parts of messages.

vLLM's renderer loads URLs. What a client sent is read before, with the same loaders, and the
renderer gets names in place of URLs, under which its loader finds what was read.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from python_worker.engines.media import handed
from python_worker.engines.media.loading import Loader
from python_worker.engines.media.names import name_of
from python_worker.engines.media.prompts import PROCESSOR, check_processor_kwargs
from python_worker.engines.media.sources import FORMS, KINDS, Source, source_of
from python_worker.process import large_work

# Parts of OpenAI's API and of vLLM's that have a URL, and what of.
URL_PARTS: Final[Mapping[str, str]] = {
    "image_url": "image",
    "input_image": "image",
    "video_url": "video",
    "audio_url": "audio",
}

# Keys that a part may have beside what it shows.
OTHERS: Final = frozenset({"type", "uuid", "format"})


@dataclass(frozen=True)
class Handed:
    """Messages whose images, videos and audio have been read.

    Attributes:
        messages: For vLLM's renderer.
        urls: The names in them under which its loader finds what was read.
    """

    messages: Any
    urls: tuple[str, ...] = ()

    def release(self) -> None:
        """Forgets what was read: the messages have been rendered."""
        handed.take_back(self.urls)


async def hand_over(
    engine: Any,
    messages: Any,
    *,
    media_io_kwargs: Any = None,
    processor_kwargs: Any = None,
    path: str = "messages",
) -> Handed:
    """Reads the images, videos and audio of messages. Whoever calls it releases what it returns.

    Args:
        engine: What they are for.
        messages: A list of messages, or of such lists. It is left as it is.
        media_io_kwargs: What the request says to the decoders.
        processor_kwargs: What it says to the model's processor.
        path: Its name, for errors.

    Raises:
        BridgeError: Something cannot be read; the message names the part.
    """
    check_processor_kwargs(processor_kwargs, PROCESSOR)
    parts: list[_Part] = []
    changed = _with_sources(engine, messages, path, parts)
    if not parts:
        return Handed(messages if changed == messages else changed)
    loader = Loader(engine, media_io_kwargs)
    for place, counts in _counts(messages, changed, path):
        loader.check_counts(counts, place)
    loaded = await loader.load_all([part.source for part in parts])
    named = [
        (part, value)
        for part, value in zip(parts, loaded, strict=True)
        if part.get("uuid") is not None
    ]
    if named:
        settings = (media_io_kwargs, processor_kwargs)
        await large_work.in_thread(lambda: _name(engine, named, settings))
    for part, value in zip(parts, loaded, strict=True):
        part.url = handed.hand(secrets.token_hex(16), value)
    return Handed(_with_urls(changed), tuple(part.url for part in parts))


def _name(engine: Any, parts: list[tuple[_Part, Any]], settings: tuple[object, ...]) -> None:
    """Gives parts the names that EngineCore gets."""
    for part, value in parts:
        part["uuid"] = name_of(
            engine.renderer, part.source.kind, str(part["uuid"]), value, *settings
        )


def part_source(part: Any, path: str) -> Any:
    """The source of a part of a message; None for a part of vLLM's, such as a text.

    Raises:
        InvalidArgument: It is none of the forms.
    """
    if not isinstance(part, Mapping):
        return None
    kind = part.get("type")
    if kind in KINDS:
        if not any(form in part for form in FORMS):
            return None
        return source_of(str(kind), part, path, OTHERS)
    if kind == "input_audio":
        return _input_audio(part.get("input_audio"), path)
    name = next((it for it in (kind, "image_url", "video_url", "audio_url") if it in part), None)
    if kind == "input_image":
        name = "image_url"
    if name not in URL_PARTS:
        return None
    url = part.get(str(name))
    if isinstance(url, Mapping):
        url = url.get("url")
    if not url or handed.is_handed(url):  # vLLM has it by its uuid, or from us
        return None
    if isinstance(url, str):
        return Source(URL_PARTS[str(name)], "url", url, path)
    return source_of(URL_PARTS[str(name)], url, path)


def _input_audio(audio: Any, path: str) -> Any:
    if not isinstance(audio, Mapping) or not audio.get("data"):
        return None
    data = audio["data"]
    if isinstance(data, str):  # as in OpenAI's API
        return Source("audio", "url", f"data:audio/wav;base64,{data}", path)
    return source_of("audio", {"data": data}, path)


class _Part(dict[str, Any]):
    """A part of a message with its source, and later with the URL that stands for it."""

    url = ""

    def __init__(self, part: Mapping[str, Any], source: Source) -> None:
        super().__init__(part)
        self.source = source


def _with_sources(engine: Any, value: Any, path: str, found: list[_Part]) -> Any:
    """Messages, conversations or a message, with ``_Part`` where something has to be read."""
    if isinstance(value, (list, tuple)):
        return [_with_sources(engine, it, f"{path}[{n}]", found) for n, it in enumerate(value)]
    if not isinstance(value, Mapping) or not isinstance(value.get("content"), (list, tuple)):
        return value
    parts = []
    for n, part in enumerate(value["content"]):
        source = part_source(part, f"{path}.content[{n}]")
        if isinstance(source, Source):
            part = _Part(part, source)
            found.append(part)
        elif isinstance(part, Mapping) and part.get("uuid") is not None:
            part = _by_name(engine, part)
        parts.append(part)
    return {**value, "content": parts}


def _by_name(engine: Any, part: Mapping[str, Any]) -> Mapping[str, Any]:
    """A part that has a name and nothing else, with the name that EngineCore knows it by."""
    key = str(part.get("type"))
    kind = URL_PARTS.get(key)
    shown = part.get("image_url" if key == "input_image" else key)
    if isinstance(shown, Mapping):
        shown = shown.get("url")
    if kind is None or shown:
        return part
    return {**part, "uuid": name_of(engine.renderer, kind, str(part["uuid"]), None)}


def _counts(messages: Any, changed: Any, path: str) -> list[tuple[str, Counter[str]]]:
    """How many of each kind every conversation has, with its name."""
    several = bool(messages) and isinstance(messages[0], (list, tuple))
    conversations = changed if several else [changed]
    return [
        (
            f"{path}[{n}]" if several else path,
            Counter(
                part.source.kind
                for message in conversation
                if isinstance(message, Mapping) and isinstance(message.get("content"), list)
                for part in message["content"]
                if isinstance(part, _Part)
            ),
        )
        for n, conversation in enumerate(conversations)
    ]


def _with_urls(value: Any) -> Any:
    if isinstance(value, _Part):
        name = f"{value.source.kind}_url"
        kept = {"uuid": value["uuid"]} if value.get("uuid") is not None else {}
        return {"type": name, name: {"url": value.url}, **kept}
    if isinstance(value, list):
        return [_with_urls(it) for it in value]
    if isinstance(value, dict) and isinstance(value.get("content"), list):
        return {**value, "content": _with_urls(value["content"])}
    return value
