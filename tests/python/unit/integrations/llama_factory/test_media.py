"""What a client may send as an image, a video or audio, before LLaMA-Factory sees it."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

from python_worker.exceptions import InvalidArgument, Kind
from python_worker.integrations.llama_factory.media import MediaNotFound, checked


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "file"
    path.write_bytes(b"x")
    return str(path)


def test_an_image_is_a_map_with_both_keys(file: str) -> None:
    assert checked("images", [file, {"path": file}, b"x", {"bytes": b"x", "path": None}]) == [
        {"path": file, "bytes": None},
        {"path": file, "bytes": None},
        {"path": None, "bytes": b"x"},
        {"path": None, "bytes": b"x"},
    ]


def test_a_video_is_a_file_or_frames(file: str) -> None:
    path, content, frames = checked("videos", [file, b"x", [b"x", file]]) or []
    assert path == file
    assert isinstance(content, BytesIO)
    assert frames == [{"path": None, "bytes": b"x"}, {"path": file, "bytes": None}]


def test_audio_is_a_file_or_samples(file: str) -> None:
    path, content, samples = checked("audios", [file, b"x", [0, 0.5]]) or []
    assert path == file
    assert isinstance(content, BytesIO)
    assert (samples.dtype, samples.tolist()) == (np.float32, [0.0, 0.5])


@pytest.mark.parametrize("given", [None, []])
def test_no_media_are_none(given: list[object] | None) -> None:
    assert checked("images", given) is None


@pytest.mark.parametrize("kind", ["images", "videos", "audios"])
@pytest.mark.parametrize(
    "value",
    [
        5,
        None,
        {},
        {"path": 5},
        {"bytes": "x"},
        {"path": "x", "bytes": b"x"},
        b"",
        "",
        "\0",
        {"x": 1},
    ],
)
def test_what_is_no_media_is_refused(kind: str, value: object) -> None:
    with pytest.raises(InvalidArgument, match=rf"{kind}\[0\].*wants"):
        checked(kind, [value])


@pytest.mark.parametrize("kind", ["images", "videos", "audios"])
@pytest.mark.parametrize("value", ["/nowhere", "http://localhost/x.png", "/", "x" * 5000])
def test_a_text_is_the_path_of_a_file(kind: str, value: str) -> None:
    with pytest.raises(MediaNotFound, match=rf"{kind}\[0\]: there is no file") as raised:
        checked(kind, [value])
    assert raised.value.kind == Kind.NOT_FOUND


@pytest.mark.parametrize("value", [[], [5], [[b"x"]]])
def test_what_are_no_frames_are_refused(value: object) -> None:
    with pytest.raises(InvalidArgument, match=r"videos\[0\]"):
        checked("videos", [value])


@pytest.mark.parametrize(
    "value",
    [
        *(["x"], [float("nan")], [True], [[0.0]], np.zeros((2, 2)), np.zeros(0)),
        *(np.array([np.inf]), np.array([1j])),
    ],
)
def test_what_are_no_samples_are_refused(value: object) -> None:
    with pytest.raises(InvalidArgument, match=r"audios\[0\]"):
        checked("audios", [value])
