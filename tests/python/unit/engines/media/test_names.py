"""A client's name for an image stands for the content that came with it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from python_worker.engines.media import names
from python_worker.engines.media.names import name_of
from python_worker.exceptions import InvalidArgument


class Renderer:
    """Stands for an engine's."""


ARRAY = np.arange(6, dtype="f4")

CONTENTS: list[Any] = [
    b"one",
    b"two",
    "one",
    5,
    ARRAY,
    ARRAY.reshape(2, 3),
    ARRAY.astype("i4"),
    (ARRAY, 16_000),
    (ARRAY, 8000),
    [ARRAY],
    [[ARRAY]],
    {"a": ARRAY},
    {"b": ARRAY},
    SimpleNamespace(original_bytes=b"one", io_config=None),
    SimpleNamespace(original_bytes=b"one", io_config={"image_mode": "L"}),
]


def test_each_content_has_a_name_of_its_own() -> None:
    renderer = Renderer()
    found = [name_of(renderer, "image", "mine", content) for content in CONTENTS]
    assert len(set(found)) == len(CONTENTS)
    assert found == [name_of(renderer, "image", "mine", content) for content in CONTENTS]
    assert name_of(renderer, "image", "mine", b"one", {"max_pixels": 1}) not in found


def test_a_name_alone_is_what_came_with_it_last() -> None:
    renderer = Renderer()
    name_of(renderer, "image", "mine", b"one")
    two = name_of(renderer, "image", "mine", b"two")
    assert name_of(renderer, "image", "mine", None) == two
    for other, kind, name in [(Renderer(), "image", "mine"), (renderer, "video", "mine")]:
        with pytest.raises(InvalidArgument, match=f"knows no {kind} '{name}'"):
            name_of(other, kind, name, None)


def test_names_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "MANY", 2)
    renderer = Renderer()
    for name in "abc":
        name_of(renderer, "image", name, b"")
    with pytest.raises(InvalidArgument, match="knows no image 'a', or no longer"):
        name_of(renderer, "image", "a", None)
    assert name_of(renderer, "image", "b", None)
