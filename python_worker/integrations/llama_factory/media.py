"""Images, videos and audio as LLaMA-Factory takes them.

A client sends a path as text or as ``{"path": path}``, and content as bytes or as
``{"bytes": content}``. A video may be a list of frames, and audio may be samples. Nothing else gets
through: LLaMA-Factory hands a text to libraries that would also take it for a URL.
"""

from __future__ import annotations

import math
from io import BytesIO
from pathlib import Path
from typing import Any, Final

from python_worker.exceptions import InvalidArgument, NotServed

KINDS: Final = ("images", "videos", "audios")

Encoded = dict[str, Any]


class MediaNotFound(NotServed):
    """There is no file at the path of an image, video or audio."""


def image(value: object, path: str) -> Encoded:
    """An image: a map with both keys, of which LLaMA-Factory reads ``bytes`` first."""
    content = _content(value, path, "an image")
    return (
        {"path": None, "bytes": content}
        if isinstance(content, bytes)
        else {
            "path": content,
            "bytes": None,
        }
    )


def video(value: object, path: str) -> list[Encoded] | str | BytesIO:
    """A video: a file, or a list of frames."""
    if isinstance(value, list | tuple):
        if not value:
            raise _refused(path, "a video with at least one frame", value)
        return [image(frame, f"{path}[{index}]") for index, frame in enumerate(value)]
    return _source(value, path, "a video, or a list of frames")


def audio(value: object, path: str) -> Any:
    """Audio: a file, or its samples in the rate of the engine's arguments."""
    import numpy as np

    if isinstance(value, list | tuple):
        if not all(type(sample) in (int, float) and math.isfinite(sample) for sample in value):
            raise _refused(path, "samples that are finite numbers", value)
        value = np.asarray(value, dtype=np.float32)
    elif hasattr(value, "numpy"):
        value = value.numpy()
    if isinstance(value, np.ndarray):
        if value.ndim != 1 or not value.size or value.dtype.kind not in "fiu":
            raise _refused(path, "one dimension of real numbers", value)
        samples = value.astype(np.float32)
        if not np.isfinite(samples).all():
            raise _refused(path, "samples that are finite numbers", value)
        return samples
    return _source(value, path, "audio, or its samples")


CHECKS: Final = {"images": image, "videos": video, "audios": audio}


def checked(kind: str, given: list[Any] | None) -> list[Any] | None:
    """A list of images, videos or audios; None for none.

    Args:
        kind: Of ``KINDS``.
        given: As it came.

    Raises:
        InvalidArgument: One is of no known form.
        MediaNotFound: There is no such file.
    """
    if not given:
        return None
    return [CHECKS[kind](value, f"{kind}[{index}]") for index, value in enumerate(given)]


def _source(value: object, path: str, wanted: str) -> str | BytesIO:
    content = _content(value, path, wanted)
    return BytesIO(content) if isinstance(content, bytes) else content


def _content(value: object, path: str, wanted: str) -> str | bytes:
    """Bytes, or the path of a file."""
    if isinstance(value, dict):
        given = [(name, it) for name, it in value.items() if it is not None]
        if len(given) != 1 or given[0][0] not in ("path", "bytes"):
            raise _refused(path, f"{wanted}: a map with either `path` or `bytes`", value)
        (name, value) = given[0]
        if not isinstance(value, str if name == "path" else bytes):
            raise _refused(f"{path}[{name!r}]", "text" if name == "path" else "bytes", value)
    if isinstance(value, bytes):
        if not value:
            raise _refused(path, f"{wanted}, and no empty bytes", value)
        return value
    if not isinstance(value, str):
        raise _refused(path, f"{wanted}: a path or bytes", value)
    if "\0" in value or not value:
        raise _refused(path, "a path", value)
    try:
        is_file = Path(value).is_file()
    except OSError:
        is_file = False
    if not is_file:
        raise MediaNotFound(f"{path}: there is no file {value!r}", parameter=path)
    return value


def _refused(path: str, wanted: str, value: object) -> InvalidArgument:
    return InvalidArgument(f"{path}: wants {wanted}, got {type(value).__name__}", parameter=path)
