"""What vLLM's own loaders make of what a client sends; no engine is needed for that."""

from __future__ import annotations

import base64
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from python_worker.engines.media import vllm_parts
from python_worker.engines.media.loading import Loader
from python_worker.engines.media.sources import source_of
from python_worker.exceptions import InvalidArgument, LimitExceeded, Unsupported
from tests.python.support import media
from tests.python.support.media import data_url, png

IMAGE = media.pixels(10, 20)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder that the engine may read, and a file beside it."""
    folder = tmp_path / "allowed"
    (folder / "inner").mkdir(parents=True)
    for path in (folder / "a.png", folder / "inner/b.png", tmp_path / "secret.png"):
        path.write_bytes(png(IMAGE))
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    return folder


@pytest.fixture(autouse=True)
def _no_video_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vllm_parts, "video_processor_name", lambda config: None)


def loader(folder: Path | None = None, domains: list[str] | None = None, **io: Any) -> Loader:
    """The loader of an engine that hears at 16 kHz."""
    config = SimpleNamespace(
        allowed_local_media_path=str(folder or ""),
        allowed_media_domains=domains,
        multimodal_config=SimpleNamespace(media_io_kwargs={}, enable_mm_embeds=False),
    )
    parser = SimpleNamespace(audio_resampler=SimpleNamespace(target_sr=16_000))
    processor = SimpleNamespace(info=SimpleNamespace(data_parser=parser))
    engine = SimpleNamespace(model_config=config, renderer=SimpleNamespace(mm_processor=processor))
    return Loader(engine, io or None)


def load(of: Loader, kind: str, value: Any) -> Any:
    return of.load(source_of(kind, value, "here"))


@pytest.mark.parametrize(
    "value",
    [
        png(IMAGE),
        {"data": png(IMAGE, "BMP")},
        {"url": data_url("image/png", png(IMAGE))},
        {"url": data_url("image/png", png(IMAGE)).replace("data:", "DATA:")},
        {"path": "a.png"},
        {"path": "inner/../inner/b.png"},
        IMAGE,
        IMAGE.transpose(2, 0, 1),
    ],
)
def test_an_image_is_read(folder: Path, value: Any) -> None:
    assert np.array_equal(np.asarray(load(loader(folder), "image", value)), IMAGE)


def test_a_file_has_a_path_or_a_url(folder: Path) -> None:
    for value in ({"path": str(folder / "a.png")}, {"url": (folder / "a.png").as_uri()}):
        assert np.array_equal(np.asarray(load(loader(folder), "image", value)), IMAGE)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"path": "../secret.png"}, "is not in"),
        ({"path": "link.png"}, "is not in"),
        ({"path": "/etc/passwd"}, "is not in"),
        ({"url": "file:///etc/passwd"}, "is not in"),
        ({"url": "file:/etc/passwd"}, "is not in"),
        ({"path": "."}, "is not in"),
        ({"path": "inner"}, "is no file"),
        ({"path": "none.png"}, "is no file"),
        ({"path": "a\0b"}, "cannot be read"),
        ({"url": "ftp://a/b.png"}, "a URL is data:, http"),
        ({"url": "a.png"}, "a file is given as 'path'"),
        ({"url": "data:image/png,abc"}, "a data URL is"),
        ({"url": "data:image/png;base64"}, "a data URL is"),
        ({"url": "data:image/png;base64,!!!"}, "cannot be read as image"),
        ({"url": "http://other.example/a.png"}, "other.example is not among good.example"),
        ({"url": "http://good.example@other.example/"}, "other.example is not among"),
        (b"", "cannot be read as image"),
        (b"abc", "cannot be read as image: Failed to load image: cannot identify image file$"),
        (png(IMAGE)[:300], "cannot be read as image"),
        (png(IMAGE)[:60], "cannot be read as image"),
        (png(np.zeros((14_000, 14_000, 3), np.uint8)), "exceeds limit of .* pixels"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "cannot be read as image"),
        (IMAGE[..., :1].astype("f4"), "an image of floats has 3 channels"),
        (IMAGE[:3, :3].astype("f4"), "an image of floats has more than 4 pixels"),
    ],
)
def test_what_is_no_image_is_refused(folder: Path, value: Any, message: str) -> None:
    with pytest.raises(InvalidArgument, match=f"^here: .*(?i:{message})") as caught:
        load(loader(folder, ["good.example"]), "image", value)
    assert caught.value.details["parameter"] == "here"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"path": "a.png"}, "build it with allowed_local_media_path"),
        ({"url": "file:///a.png"}, "build it with allowed_local_media_path"),
        ({"url": "http://a/b.png"}, "build it with allowed_media_domains"),
        ({"url": "HTTPS://a/b.png"}, "build it with allowed_media_domains"),
    ],
)
def test_an_engine_reads_nothing_that_it_was_not_built_for(value: Any, message: str) -> None:
    with pytest.raises(Unsupported, match=message):
        load(loader(), "image", value)


@pytest.mark.parametrize("kind", ["image", "audio"])
def test_a_library_that_is_missing_is_named(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def connector(*_arguments: Any) -> Any:
        raise ImportError("Please install vllm[audio] for audio support.")

    monkeypatch.setattr(vllm_parts, "connector", connector)
    with pytest.raises(Unsupported, match=r"here: .*vllm\[audio\].*mix vllm\.setup"):
        load(loader(), kind, b"abc")


def test_large_files_are_not_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_MAX_MEDIA_DOWNLOAD_SIZE_MB", "0")
    for value in (png(IMAGE), {"path": "a.png"}, {"url": data_url("image/png", png(IMAGE))}):
        with pytest.raises(LimitExceeded, match="bytes, and the limit is 0"):
            load(loader(folder), "image", value)


# --- Videos


def test_a_video_is_read_with_what_is_known_of_it() -> None:
    content = media.mp4(media.frames(8))
    frames, metadata = load(loader(), "video", content)
    assert frames.shape == (8, 56, 84, 3)
    assert (metadata["fps"], metadata["total_num_frames"]) == (media.FPS, 8)
    fewer, _ = load(loader(video={"num_frames": 2}), "video", {"data": content})
    assert fewer.shape == (2, 56, 84, 3)


def test_frames_are_a_video() -> None:
    video = media.frames()
    images = [png(video[0]), video[1], {"tensor": video[2]}, {"data": png(video[3])}]
    assert np.array_equal(load(loader(), "video", {"frames": images}), video)
    frames, metadata = load(loader(), "video", {"frames": images, "fps": 2})
    assert np.array_equal(frames, video)
    assert (metadata["duration"], metadata["frames_indices"]) == (2.0, [0, 1, 2, 3])
    own = {"fps": 9.0}
    assert load(loader(), "video", (video, own))[1] == own


def test_jpegs_with_commas_are_frames_as_vllm_has_it() -> None:
    jpegs = ",".join(base64.b64encode(png(frame, "JPEG")).decode() for frame in media.frames())
    frames, _ = load(loader(), "video", {"url": f"data:video/jpeg;base64,{jpegs}"})
    assert frames.shape == (4, 56, 84, 3)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (b"abc", "cannot be read as video"),
        (media.mp4(media.frames())[:300], "cannot be read as video"),
        (png(IMAGE), "cannot be read as video"),
        ({"frames": [png(IMAGE), png(media.pixels(9, 9))]}, "the first has 20 x 10, this one 9"),
        ({"frames": [IMAGE.astype("f4")]}, "a frame as a tensor is of uint8"),
        (media.frames().astype("f4"), "frames are of uint8"),
        (media.frames()[..., :1], "frames are of uint8 and have 3 channels"),
        ({"tensor": media.frames(), "fps": 0}, "'fps' is a number above 0"),
        ({"tensor": media.frames(), "metadata": 5}, "'metadata' is a map"),
    ],
)
def test_what_is_no_video_is_refused(value: Any, message: str) -> None:
    with pytest.raises(InvalidArgument, match=f"^here.*{message}"):
        load(loader(), "video", value)


def test_a_video_that_would_fill_the_memory_is_not_decoded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(vllm_parts, "video_extent", lambda data: (100, 8000, 8000))
    with pytest.raises(LimitExceeded, match="here: 32 frames of 8000 x 8000 pixels"):
        load(loader(), "video", b"abc")


# --- Audio

SILENCE = np.zeros(1600, np.float32)


def test_audio_is_read_with_its_rate() -> None:
    content = media.wav(media.speech(), media.SPEECH_RATE)
    samples, rate = load(loader(), "audio", content)
    assert (rate, samples.dtype) == (media.SPEECH_RATE, np.float32)
    assert np.allclose(samples, media.speech() / 2**15)
    samples, rate = load(loader(), "audio", (SILENCE.astype(np.float64), 8000))
    assert (rate, samples.dtype) == (8000, np.float32)
    assert load(loader(), "audio", SILENCE).shape == SILENCE.shape


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (b"abc", "cannot be read as audio"),
        (media.wav(SILENCE, 16_000)[:30], "cannot be read as audio"),
        (media.wav(SILENCE[:0], 16_000), "is audio with no sample"),
        (media.wav(np.full(9, np.nan, "f4"), 16_000), "is audio with nan"),
        (media.wav(SILENCE, 44_101), "cannot be resampled"),
        ((SILENCE, 44_101), "cannot be resampled"),
        (np.zeros(16_000 * 601, np.float32), "has 601 s of audio"),
        (SILENCE.astype(np.int16), "got int16"),
    ],
)
def test_what_is_no_audio_is_refused(value: Any, message: str) -> None:
    with pytest.raises(InvalidArgument, match=f"^here.*{message}"):
        load(loader(), "audio", value)
