"""Arrays as vLLM cannot misread them: of tensors that a client sent, and of decoded audio."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from python_worker.engines.media import limits, vllm_parts
from python_worker.engines.media.sources import Source
from python_worker.exceptions import InvalidArgument
from python_worker.finite import first_not_finite


def from_tensor(source: Source, target_rate: float | None) -> Any:
    """A tensor as vLLM cannot misread it: images are Pillow's, or channels come first.

    vLLM and the models' processors tell the channels by the extents, not all in the same way,
    and a tensor that is read as one of another shape ends the engine.

    Args:
        source: It has the tensor.
        target_rate: The rate that the model wants, where audio is resampled.

    Raises:
        InvalidArgument: Its shape, type or values are none of these.
        LimitExceeded: It is too large.
    """
    limits.check_tensor(source)
    settings = vllm_parts.limits()
    array = source.value.numpy() if hasattr(source.value, "numpy") else source.value
    if source.kind == "audio":
        return _samples(source, array, target_rate)
    limits.check_pixels(source, settings.VLLM_MAX_IMAGE_PIXELS)
    if array.shape[-1] not in limits.CHANNELS:
        array = array.swapaxes(-3, -2).swapaxes(-2, -1)  # channels come last now
    if source.kind == "image":
        return _image(source, array)
    frames, height, width, _ = array.shape
    limits.check_video_bytes(source, frames, width, height)
    if array.shape[-1] != 3 or str(array.dtype) != "uint8":
        raise InvalidArgument(
            f"{source.path}: frames are of uint8 and have 3 channels, got {array.dtype} and "
            f"{array.shape[-1]}",
            parameter=source.path,
        )
    return with_metadata(source, array)


def _image(source: Source, array: Any) -> Any:
    if str(array.dtype) == "uint8":
        return vllm_parts.image_of(array)
    if array.shape[-1] != 3:
        raise InvalidArgument(
            f"{source.path}: an image of floats has 3 channels, got {array.shape[-1]}",
            parameter=source.path,
        )
    if min(array.shape[:2]) <= max(limits.CHANNELS):
        raise InvalidArgument(
            f"{source.path}: an image of floats has more than {max(limits.CHANNELS)} pixels on "
            "each side, or its channels cannot be told; send uint8",
            parameter=source.path,
        )
    return array.astype("float32")


def _samples(source: Source, array: Any, target_rate: float | None) -> Any:
    array = array.astype("float32")
    rate = source.about.get("sampling_rate")
    most = vllm_parts.limits().VLLM_MAX_AUDIO_DECODE_DURATION_S
    limits.check_audio(
        source,
        array.shape[-1],
        target_rate or 16_000 if rate is None else rate,
        target_rate,
        most,
    )
    return array if rate is None else (array, rate)


def check_decoded(source: Source, samples: Any, rate: Any, target_rate: float | None) -> None:
    """Refuse audio of a file that is too long, empty, or has numbers that are none.

    Args:
        source: What it was decoded from.
        samples: Its samples.
        rate: Their rate.
        target_rate: As of ``from_tensor``.

    Raises:
        InvalidArgument: It is.
    """
    most = vllm_parts.limits().VLLM_MAX_AUDIO_DECODE_DURATION_S
    limits.check_audio(source, samples.shape[-1], rate, target_rate, most)
    found = first_not_finite(samples)
    if found is not None or not samples.shape[-1]:
        what = "no sample" if found is None else f"{found.text} at {list(found.position)}"
        raise InvalidArgument(f"{source.path}: is audio with {what}", parameter=source.path)


def with_metadata(source: Source, frames: Any) -> Any:
    """Frames, with what vLLM's loaders tell of a video, if anything is known."""
    metadata, fps = source.about.get("metadata"), source.about.get("fps")
    if metadata is not None:
        if not isinstance(metadata, Mapping):
            raise InvalidArgument(f"{source.path}: 'metadata' is a map", parameter=source.path)
        return frames, dict(metadata)
    if fps is None:
        return frames
    if isinstance(fps, bool) or not isinstance(fps, (int, float)) or not 0 < fps < 1e6:
        raise InvalidArgument(
            f"{source.path}: 'fps' is a number above 0, got {fps!r}", parameter=source.path
        )
    count = len(frames)
    return frames, {
        "fps": float(fps),
        "duration": count / fps,
        "total_num_frames": count,
        "frames_indices": list(range(count)),
        "video_backend": "opencv",
        "do_sample_frames": False,
    }
