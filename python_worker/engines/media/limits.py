"""What would take the memory of the machine, and tensors that are no images, videos or audio.

vLLM has limits of its own for what it decodes: pixels of an image and of a frame, bytes and seconds
of audio. It has none for all frames of a video together, for what resampling takes, and for the
sizes that a request may ask its processor for.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from python_worker.engines.media.sources import RANKS, Source
from python_worker.exceptions import InvalidArgument, LimitExceeded
from python_worker.finite import first_not_finite

MAX_VIDEO_BYTES: Final = 2**30
"""Of the decoded frames of one video, together."""

MAX_PIXELS: Final = 2**26
MAX_SIDE: Final = 2**13
"""What a request may ask the processor for: as many pixels as a square with such a side."""

MAX_FILTER_ENTRIES: Final = 2**24
"""Of the table that resampling makes: 64 MB."""

CHANNELS: Final = (1, 3, 4)

# Entries of `mm_processor_kwargs` that count pixels; other numbers are sides, counts or factors.
OF_PIXELS: Final = frozenset({"min_pixels", "max_pixels", "shortest_edge", "longest_edge"})

DTYPES: Final[Mapping[str, tuple[str, ...]]] = {
    "image": ("uint8", "float16", "float32", "float64"),
    "video": ("uint8", "float16", "float32", "float64"),
    "audio": ("float16", "float32", "float64"),
}

SHAPES: Final[Mapping[str, str]] = {
    "image": "height x width x channels or channels x height x width, with 1, 3 or 4 channels",
    "video": "frames x height x width x channels, or with the channels before the height",
    "audio": "samples, or channels x samples",
}


def check_bytes(source: Source, size: int, megabytes: int) -> None:
    """Refuse a file that is too large.

    Args:
        source: What it is for.
        size: Its bytes.
        megabytes: vLLM's limit.

    Raises:
        LimitExceeded: It is.
    """
    most = megabytes * 2**20
    if size > most:
        raise LimitExceeded(
            f"{source.path}: has {size} bytes, and the limit is {most} "
            "(VLLM_MAX_MEDIA_DOWNLOAD_SIZE_MB in the worker's environment)",
            parameter=source.path,
            limit=most,
        )


def check_tensor(source: Source) -> None:
    """Refuse a tensor that is no image, video or audio.

    Raises:
        InvalidArgument: It names the shape, the type or the number, and what is wanted.
    """
    kind, shape = source.kind, list(source.value.shape)
    dtype = str(source.value.dtype).removeprefix("torch.")
    if dtype not in DTYPES[kind]:
        raise _refused(source, f"{kind} is of {' or '.join(DTYPES[kind])}, got {dtype}")
    ranks = (RANKS[kind], 2) if kind == "audio" else (RANKS[kind],)
    fits = len(shape) in ranks and 0 not in shape
    if fits and kind != "audio":
        fits = shape[-1] in CHANNELS or shape[-3] in CHANNELS
    if not fits:
        raise _refused(source, f"{kind} is {SHAPES[kind]}, got the shape {shape}")
    found = first_not_finite(source.value)
    if found is not None:
        index = ", ".join(map(str, found.position))
        raise InvalidArgument(
            f"{source.path}[{index}]: wants a finite number, got {found.text}",
            parameter=source.path,
            position=list(found.position),
            value=found.value,
        )


def check_pixels(source: Source, most: int) -> None:
    """Refuse a tensor with more pixels in one image than vLLM decodes.

    Args:
        source: An image or a video, as a tensor.
        most: The limit; 0 for none.
    """
    sides = list(source.value.shape)[-3:]
    pixels = math.prod(sides) // min(sides)
    if 0 < most < pixels:
        raise LimitExceeded(
            f"{source.path}: has {pixels} pixels, of which the limit is {most} "
            "(VLLM_MAX_IMAGE_PIXELS in the worker's environment)",
            parameter=source.path,
            limit=most,
        )


def check_video_bytes(source: Source, frames: int, width: int, height: int) -> None:
    """Refuse a video whose frames, decoded, would take too much memory."""
    size = frames * width * height * 3
    if size > MAX_VIDEO_BYTES:
        raise LimitExceeded(
            f"{source.path}: {frames} frames of {width} x {height} pixels are {size} bytes, and "
            f"the limit is {MAX_VIDEO_BYTES}. Scale the video down, or have fewer frames read: "
            'media_io_kwargs: {"video": {"num_frames": N}}, of the engine or of the request',
            parameter=source.path,
            limit=MAX_VIDEO_BYTES,
        )


def check_audio(source: Source, samples: int, rate: Any, target: float | None, most: int) -> None:
    """Refuse audio of which resampling takes too much time or memory.

    Args:
        source: Where it is from.
        samples: How many it has in one channel.
        rate: Of the samples, in a second.
        target: The rate that the model wants; None if it says nothing.
        most: How many seconds may be decoded.
    """
    if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not 0 < rate < math.inf:
        raise _refused(source, f"a sampling rate is a number of Hz above 0, got {rate!r}")
    if samples > most * rate:
        raise LimitExceeded(
            f"{source.path}: has {samples / rate:.0f} s of audio, and the limit is {most} s "
            "(VLLM_MAX_AUDIO_DECODE_DURATION_S in the worker's environment)",
            parameter=source.path,
            limit=most,
        )
    if target is None or rate == target:
        return
    wanted, given = int(target), int(rate)
    if given != rate:
        raise _refused(source, f"a sampling rate is a whole number of Hz, got {rate}")
    common = math.gcd(given, wanted)
    if (given // common) * (wanted // common) > MAX_FILTER_ENTRIES:
        raise _refused(
            source,
            f"audio of {given} Hz cannot be resampled to the model's {wanted} Hz: the two rates "
            f"have hardly a divisor in common. Resample it to {wanted} Hz first",
        )


def check_processor_kwargs(given: Any, path: str) -> None:
    """Refuse sizes that would have a processor make an image of any small one that fills memory.

    Raises:
        LimitExceeded: It names the key.
    """
    waiting = [(path, "", given)]
    while waiting:
        path, name, value = waiting.pop()
        if isinstance(value, Mapping):
            waiting += [(f"{path}[{key!r}]", str(key), it) for key, it in value.items()]
        elif isinstance(value, (list, tuple)):
            waiting += [(f"{path}[{n}]", name, it) for n, it in enumerate(value)]
        elif isinstance(value, (int, float)):
            most = MAX_PIXELS if name in OF_PIXELS else MAX_SIDE
            if abs(value) > most:
                raise LimitExceeded(
                    f"{path}: wants at most {most}, got {value}", parameter=path, limit=most
                )


def _refused(source: Source, message: str) -> InvalidArgument:
    return InvalidArgument(f"{source.path}: {message}", parameter=source.path)
