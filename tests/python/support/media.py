"""Images, a video and a voice for tests, made here: as files, as bytes and as tensors."""

from __future__ import annotations

import base64
import ctypes
import functools
import io
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.python.support.values import Tensor

SENTENCE = "The quick brown fox jumps over the lazy dog."

#: The rate of the voice below.
SPEECH_RATE = 22_050

FPS = 4.0


def pixels(height: int = 56, width: int = 84, seed: int = 0) -> NDArray[np.uint8]:
    """An image as height x width x channels."""
    random = np.random.default_rng([height, width, seed])
    return random.integers(0, 256, (height, width, 3), np.uint8)


def png(array: NDArray[np.uint8], format_name: str = "PNG") -> bytes:
    """An image as a file."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, format_name)
    return buffer.getvalue()


def frames(count: int = 4) -> NDArray[np.uint8]:
    """A video as frames x height x width x channels: a square that moves."""
    video = np.zeros((count, 56, 84, 3), np.uint8)
    for number, frame in enumerate(video):
        frame[10:40, 5 * number : 5 * number + 30] = (255, 20 * number, 0)
    return video


def mp4(video: NDArray[np.uint8]) -> bytes:
    """A video as a file. What is read of it differs from what was written: it is compressed."""
    import cv2

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "video.mp4"
        _, height, width, _ = video.shape
        code = cv2.VideoWriter.fourcc(*"mp4v")
        writer = cv2.VideoWriter(str(path), code, FPS, (width, height))
        for frame in video:
            writer.write(np.ascontiguousarray(frame[..., ::-1]))
        writer.release()
        return path.read_bytes()


def wav(samples: NDArray[Any], rate: int) -> bytes:
    """Audio as a file: int16 as it is, floats as floats."""
    import soundfile

    buffer = io.BytesIO()
    kind = "PCM_16" if samples.dtype == np.int16 else "FLOAT"
    soundfile.write(buffer, samples, rate, format="WAV", subtype=kind)
    return buffer.getvalue()


@functools.cache
def speech() -> NDArray[np.int16]:
    """The sentence, spoken by eSpeak NG."""
    import espeakng_loader

    library = ctypes.CDLL(espeakng_loader.get_library_path())
    chunks: list[NDArray[np.int16]] = []

    def take(samples: Any, count: int, _events: Any) -> int:
        if samples and count:
            chunks.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0

    synchronous, characters_are_utf8, position_is_a_character = 2, 1, 1
    rate = library.espeak_Initialize(synchronous, 0, espeakng_loader.get_data_path().encode(), 0)
    assert rate == SPEECH_RATE
    callback = ctypes.CFUNCTYPE(
        ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
    )(take)
    library.espeak_SetSynthCallback(callback)
    assert library.espeak_SetVoiceByName(b"en") == 0
    text = SENTENCE.encode()
    status = library.espeak_Synth(
        text, len(text) + 1, 0, position_is_a_character, 0, characters_are_utf8, None, None
    )
    assert status == 0
    library.espeak_Synchronize()
    return np.concatenate(chunks)


def data_url(kind: str, content: bytes) -> str:
    """Content as a URL."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def tensor(array: NDArray[Any]) -> Tensor:
    """An array as a test client sends it."""
    return Tensor(array.dtype.name, array.shape, np.ascontiguousarray(array).tobytes())


def read_media(kind: str, path: str) -> Any:
    """An image, a video or audio as vLLM takes it, without vLLM's loaders."""
    if kind == "image":
        from PIL import Image

        with Image.open(path) as image:
            return image.convert("RGB")
    if kind == "audio":
        import soundfile

        return soundfile.read(path, dtype="float32")
    return np.load(path)
