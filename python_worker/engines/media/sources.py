"""What a client may write for an image, a video or audio.

==============================================  ================================================
``{"path": "cat.png"}``                          a file, in the folder that the engine may read
``{"url": "data:image/png;base64,…"}``           or ``http(s)``, where the engine may, or ``file``
``{"data": b"…"}``, or bytes alone               the content of a file
``{"tensor": …}``, or a tensor alone             pixels or samples
``{"tensor": …, "sampling_rate": 16000}``        samples of audio, also as a pair
``{"tensor": …, "fps": 2.0}``                    frames of a video, with what is known of them
``{"frames": [image, …], "fps": 2.0}``           the same, of images in any of these forms
==============================================  ================================================

Everything else is left to vLLM: embeddings, and what has been read already.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from python_worker.exceptions import InvalidArgument
from python_worker.finite import is_array

KINDS: Final = ("image", "video", "audio")

FORMS: Final = ("path", "url", "data", "tensor", "frames")

# What may be told of tensors, by kind.
ABOUT: Final[Mapping[str, frozenset[str]]] = {
    "image": frozenset(),
    "video": frozenset({"fps", "metadata"}),
    "audio": frozenset({"sampling_rate"}),
}

# The rank of one; a tensor with one dimension more holds several.
RANKS: Final[Mapping[str, int]] = {"image": 3, "video": 4, "audio": 1}

WANTED: Final = "wants a map with one of 'path', 'url', 'data' and 'tensor', or bytes, or a tensor"


@dataclass(frozen=True, slots=True)
class Source:
    """An image, a video or audio that has to be read.

    Attributes:
        kind: Of ``KINDS``.
        form: Of ``FORMS``.
        value: As the form has it.
        path: Where the client wrote it, for errors.
        about: What is told of a tensor.
    """

    kind: str
    form: str
    value: Any
    path: str
    about: Mapping[str, Any] = field(default_factory=dict)


def source_of(kind: str, value: Any, path: str, others: frozenset[str] = frozenset()) -> Any:
    """What a client wrote as a ``Source``, or as it is where vLLM takes it so.

    Args:
        kind: Of ``KINDS``.
        value: What the client wrote for one.
        path: Where.
        others: Keys that a map may have beside ours.

    Raises:
        InvalidArgument: It is none of the forms.
    """
    if isinstance(value, Mapping):
        return _of_map(kind, value, path, others)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return Source(kind, "data", bytes(value), path)
    if is_array(value):
        return Source(kind, "tensor", value, path)
    if isinstance(value, str):
        return Source(kind, "url", value, path)
    if is_pair(kind, value):
        about = "sampling_rate" if kind == "audio" else "metadata"
        return Source(kind, "tensor", value[0], path, {about: value[1]})
    if kind == "video" and isinstance(value, (list, tuple)):
        return _of_map(kind, {"frames": value}, path, others)
    if value is None or is_vllms(value) or isinstance(value, (list, tuple)):
        return value
    raise InvalidArgument(f"{path}: {WANTED}, got {type(value).__name__}", parameter=path)


def _of_map(kind: str, value: Mapping[str, Any], path: str, others: frozenset[str]) -> Any:
    forms = [form for form in FORMS if form in value]
    if not forms:
        return value  # such as embeddings with their grid
    if len(forms) > 1:
        given = " and ".join(repr(form) for form in forms)
        raise InvalidArgument(f"{path}: {WANTED}, and has {given}", parameter=path)
    (form,) = forms
    known = ABOUT[kind] if form in ("tensor", "frames") else frozenset()
    unknown = value.keys() - {form} - known - others
    if unknown or (form == "frames" and kind != "video"):
        name = sorted(map(str, unknown or {form}))[0]
        raise InvalidArgument(
            f"{path}: {kind} as {form!r} has no {name!r}"
            if unknown
            else f"{path}: only a video has 'frames'",
            parameter=path,
        )
    about = {name: it for name, it in value.items() if name in known and it is not None}
    if form == "frames":
        return _of_frames(value[form], path, about)
    return Source(kind, form, _plain(form, value[form], path), path, about)


def _of_frames(frames: Any, path: str, about: Mapping[str, Any]) -> Any:
    if not isinstance(frames, (list, tuple)) or not frames:
        raise InvalidArgument(f"{path}: 'frames' wants a list of images", parameter=path)
    if all(is_vllms(frame) for frame in frames):
        return frames
    sources = [source_of("image", it, f"{path}[{n}]") for n, it in enumerate(frames)]
    for n, source in enumerate(sources):
        if not isinstance(source, Source):
            raise InvalidArgument(f"{path}[{n}]: {WANTED}", parameter=f"{path}[{n}]")
    return Source("video", "frames", sources, path, about)


def _plain(form: str, value: Any, path: str) -> Any:
    """A value of a form, of the type that it has to have."""
    if form == "data":
        if isinstance(value, str):  # a binary of Elixir's that is text by chance
            return value.encode("utf-8", "surrogateescape")
        if isinstance(value, (bytes, bytearray, memoryview)):
            return bytes(value)
        if is_array(value):
            raise InvalidArgument(f"{path}: a tensor is given as 'tensor'", parameter=path)
    elif form == "tensor":
        if is_array(value):
            return value
    elif isinstance(value, str):
        return value
    wanted = {"data": "bytes", "tensor": "a tensor"}.get(form, "a text")
    raise InvalidArgument(
        f"{path}: {form!r} wants {wanted}, got {type(value).__name__}", parameter=path
    )


def is_pair(kind: str, value: Any) -> bool:
    """Whether a value is a tensor and what is told of it: a rate, or a video's metadata."""
    if not isinstance(value, (list, tuple)) or len(value) != 2 or not is_array(value[0]):
        return False
    if kind == "audio":
        return isinstance(value[1], (int, float)) and not isinstance(value[1], bool)
    return kind == "video" and isinstance(value[1], Mapping)


def is_vllms(value: Any) -> bool:
    """Whether a value is of a class of vLLM's or Pillow's: it has been read already."""
    return type(value).__module__.partition(".")[0] in ("vllm", "PIL")


def items_of(kind: str, value: Any) -> list[Any] | None:
    """The items of a modality where there may be several; None where the value is one item."""
    if is_array(value):
        rank = RANKS[kind]
        return list(value) if len(value.shape) == rank + 1 else None
    if not isinstance(value, (list, tuple)) or is_pair(kind, value):
        return None
    if kind == "audio" and value and all(type(it) in (int, float) for it in value):
        return None  # samples
    if kind == "video" and isinstance(value, list) and value and _are_frames(value):
        return None
    return list(value)


def _are_frames(value: Sequence[Any]) -> bool:
    return all(is_array(it) and len(it.shape) == RANKS["image"] for it in value)


def sources_in(values: Any) -> Iterator[Source]:
    """All sources of a value that ``source_of`` was called for."""
    for value in values if isinstance(values, list) else [values]:
        if isinstance(value, Source):
            yield value
