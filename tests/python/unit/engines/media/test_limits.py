"""What would take the memory of the machine, and tensors that are no images."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from python_worker.engines.media import limits
from python_worker.engines.media.sources import Source
from python_worker.exceptions import InvalidArgument, LimitExceeded


def source(kind: str, value: Any = None) -> Source:
    return Source(kind, "tensor", value, "here")


@pytest.mark.parametrize(
    ("kind", "shape", "dtype"),
    [
        ("image", (4, 5, 3), "uint8"),
        ("image", (3, 4, 5), "uint8"),
        ("image", (4, 5, 1), "float32"),
        ("image", (4, 5, 4), "float16"),
        ("video", (2, 4, 5, 3), "uint8"),
        ("video", (2, 3, 4, 5), "uint8"),
        ("audio", (9,), "float32"),
        ("audio", (2, 9), "float64"),
    ],
)
def test_what_is_one_is_taken(kind: str, shape: tuple[int, ...], dtype: str) -> None:
    limits.check_tensor(source(kind, np.zeros(shape, dtype)))


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        ("image", np.zeros((4, 5)), r"image is height x width.*got the shape \[4, 5\]"),
        ("image", np.zeros((5, 6, 7)), "got the shape"),
        ("image", np.zeros((0, 5, 3)), "got the shape"),
        ("image", np.zeros((4, 5, 3), "int64"), "image is of uint8 or .*got int64"),
        ("video", np.zeros((4, 5, 3)), "video is frames x height.*got the shape"),
        ("video", np.zeros((0, 4, 5, 3)), "got the shape"),
        ("audio", np.zeros((1, 2, 3)), "audio is samples.*got the shape"),
        ("audio", np.zeros(0), "got the shape"),
        ("audio", np.zeros(9, "int16"), "audio is of float16 or .*got int16"),
        ("audio", np.array([0.0, math.nan]), r"here\[1\]: wants a finite number, got nan"),
        ("image", np.full((1, 1, 3), math.inf), r"here\[0, 0, 0\]: wants a finite number"),
    ],
)
def test_what_is_none_is_refused(kind: str, value: Any, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        limits.check_tensor(source(kind, value))


def test_an_image_has_so_many_pixels() -> None:
    image = source("image", np.zeros((10, 10, 3)))
    limits.check_pixels(image, 100)
    limits.check_pixels(image, 0)
    with pytest.raises(LimitExceeded, match="has 100 pixels, of which the limit is 99"):
        limits.check_pixels(image, 99)
    limits.check_pixels(source("video", np.zeros((5, 10, 10, 3))), 100)


def test_the_frames_of_a_video_have_so_many_bytes() -> None:
    limits.check_video_bytes(source("video"), 32, 1920, 1080)
    with pytest.raises(LimitExceeded, match=r"32 frames of 7680 x 4320 pixels.*num_frames"):
        limits.check_video_bytes(source("video"), 32, 7680, 4320)


@pytest.mark.parametrize(
    ("samples", "rate"), [(100, 16_000), (100, 8000), (100, 44_100), (100, 22_050.0), (600, 1)]
)
def test_rates_that_can_be_resampled(samples: int, rate: float) -> None:
    limits.check_audio(source("audio"), samples, rate, 16_000, 600)


@pytest.mark.parametrize(
    ("samples", "rate", "message"),
    [
        (100, 0, "a number of Hz above 0, got 0"),
        (100, -1, "a number of Hz above 0"),
        (100, True, "a number of Hz above 0"),
        (100, "16000", "a number of Hz above 0"),
        (100, math.inf, "a number of Hz above 0"),
        (100, math.nan, "a number of Hz above 0"),
        (100, 8000.5, "a whole number of Hz, got 8000.5"),
        (601, 1, "has 601 s of audio, and the limit is 600 s"),
        (100, 44_101, "audio of 44101 Hz cannot be resampled to the model's 16000 Hz"),
    ],
)
def test_rates_that_cannot(samples: int, rate: Any, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        limits.check_audio(source("audio"), samples, rate, 16_000, 600)


def test_a_model_that_wants_no_rate_resamples_nothing() -> None:
    limits.check_audio(source("audio"), 100, 44_101, None, 600)


def test_sizes_that_a_request_asks_for() -> None:
    limits.check_processor_kwargs({"max_pixels": limits.MAX_PIXELS, "fps": 2.0}, "kwargs")
    for given in (
        {"max_pixels": limits.MAX_PIXELS + 1},
        {"size": {"shortest_edge": limits.MAX_PIXELS + 1}},
        {"size": [1, limits.MAX_SIDE + 1]},
        {"num_frames": math.inf},
    ):
        with pytest.raises(LimitExceeded, match=r"kwargs\[.*\]: wants at most"):
            limits.check_processor_kwargs(given, "kwargs")
