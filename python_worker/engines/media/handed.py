"""What has been read for vLLM's renderer, under names that stand for URLs.

vLLM's loaders ask ``resolve`` first. It gives back what was read before, and lets vLLM read the
content of files and its own URLs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from python_worker.engines.media import limits, vllm_parts
from python_worker.engines.media.sources import Source
from python_worker.exceptions import InvalidArgument

_NAMES_ARE_THEIRS: Final = "vllm-bridge:"

_handed: dict[str, Any] = {}
"""What has been read for chats that are being rendered, by the name that stands for a URL."""


def hand(name: str, value: Any) -> str:
    """Keeps what has been read for vLLM's renderer; returns what stands for its URL."""
    url = _NAMES_ARE_THEIRS + name
    _handed[url] = value
    return url


def is_handed(url: object) -> bool:
    """Whether something is kept under this name."""
    return isinstance(url, str) and url in _handed


def take_back(urls: Sequence[str]) -> None:
    """Forgets what was kept."""
    for url in urls:
        _handed.pop(url, None)


def resolve(url: Any, media_io: Any, as_vllm: Callable[[Any], Any]) -> Any:
    """What a loader of vLLM's reads: see ``vllm_parts.has_resolver``."""
    if isinstance(url, str):
        if url.startswith(_NAMES_ARE_THEIRS):
            if url not in _handed:
                raise InvalidArgument(f"there is no image, video or audio at {url!r}")
            return _handed[url]
        return as_vllm(url)
    # A ``Source``, of ``loading``.
    if url.form == "data":
        check_data(url, url.value, media_io)
        return media_io.load_bytes(url.value)
    return as_vllm(url.value)


def check_data(source: Source, data: bytes, media_io: Any) -> None:
    """Refuse the content of a file that is large, or whose video is.

    Raises:
        LimitExceeded: It is.
    """
    limits.check_bytes(source, len(data), vllm_parts.limits().VLLM_MAX_MEDIA_DOWNLOAD_SIZE_MB)
    if source.kind == "video":
        frames, width, height = vllm_parts.video_extent(data)
        most = getattr(media_io, "num_frames", -1)
        if most > 0:
            frames = min(frames, most)
        limits.check_video_bytes(source, frames, width, height)
