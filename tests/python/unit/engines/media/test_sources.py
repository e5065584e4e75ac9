"""What a client may write for an image, a video or audio."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from python_worker.engines.media.sources import Source, items_of, source_of, sources_in
from python_worker.exceptions import InvalidArgument


def array(*shape: int) -> Any:
    """Stands for a tensor: only its shape is looked at here."""

    class Array(SimpleNamespace):
        def __iter__(self) -> Any:
            return iter([array(*shape[1:])] * shape[0])

    return Array(dtype="uint8", shape=shape)


IMAGE, VIDEO, AUDIO = array(4, 5, 3), array(2, 4, 5, 3), array(100)


class Read:
    """Stands for an image that has been read."""


Read.__module__ = "PIL.Image"


@pytest.mark.parametrize(
    ("kind", "value", "form", "content"),
    [
        ("image", {"path": "a.png"}, "path", "a.png"),
        ("image", {"url": "data:,"}, "url", "data:,"),
        ("image", "data:,", "url", "data:,"),
        ("image", b"png", "data", b"png"),
        ("image", bytearray(b"png"), "data", b"png"),
        ("image", {"data": b"png"}, "data", b"png"),
        ("image", {"data": "GIF89a"}, "data", b"GIF89a"),
        ("image", IMAGE, "tensor", IMAGE),
        ("image", {"tensor": IMAGE}, "tensor", IMAGE),
        ("video", VIDEO, "tensor", VIDEO),
        ("audio", {"tensor": AUDIO}, "tensor", AUDIO),
    ],
)
def test_the_forms(kind: str, value: Any, form: str, content: Any) -> None:
    assert source_of(kind, value, "here") == Source(kind, form, content, "here")


@pytest.mark.parametrize(
    ("kind", "value", "about"),
    [
        ("audio", (AUDIO, 16_000), {"sampling_rate": 16_000}),
        ("audio", [AUDIO, 8000.0], {"sampling_rate": 8000.0}),
        ("audio", {"tensor": AUDIO, "sampling_rate": 8000}, {"sampling_rate": 8000}),
        ("audio", {"tensor": AUDIO, "sampling_rate": None}, {}),
        ("video", (VIDEO, {"fps": 1}), {"metadata": {"fps": 1}}),
        ("video", {"tensor": VIDEO, "fps": 2}, {"fps": 2}),
    ],
)
def test_what_is_told_of_tensors(kind: str, value: Any, about: dict[str, Any]) -> None:
    assert source_of(kind, value, "here").about == about


def test_frames_are_images_with_places_of_their_own() -> None:
    for value in ({"frames": [b"a", IMAGE], "fps": 2}, [b"a", IMAGE]):
        source = source_of("video", value, "here")
        assert [it.path for it in source.value] == ["here[0]", "here[1]"]
        assert [it.form for it in source.value] == ["data", "tensor"]


@pytest.mark.parametrize(
    "value", [None, {"image_embeds": IMAGE}, Read(), [0.5, 1.0], {}, ({"a": 1}, 2)]
)
def test_what_is_vllms_is_left_alone(value: Any) -> None:
    assert source_of("audio", value, "here") is value


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        ("image", 5, "here: wants a map with one of 'path'.*got int"),
        ("image", {"path": "a", "url": "b"}, "here: .*has 'path' and 'url'"),
        ("image", {"path": "a", "fps": 1}, "here: image as 'path' has no 'fps'"),
        ("video", {"path": "a", "fps": 1}, "here: video as 'path' has no 'fps'"),
        ("audio", {"tensor": AUDIO, "rate": 1}, "here: audio as 'tensor' has no 'rate'"),
        ("image", {"path": 5}, "here: 'path' wants a text, got int"),
        ("image", {"url": b"x"}, "here: 'url' wants a text, got bytes"),
        ("image", {"data": 5}, "here: 'data' wants bytes, got int"),
        ("image", {"data": IMAGE}, "here: a tensor is given as 'tensor'"),
        ("image", {"tensor": b"x"}, "here: 'tensor' wants a tensor, got bytes"),
        ("image", {"frames": [b"x"]}, "here: only a video has 'frames'"),
        ("video", {"frames": []}, "here: 'frames' wants a list of images"),
        ("video", {"frames": 5}, "here: 'frames' wants a list of images"),
        ("video", {"frames": [b"x", None]}, r"here\[1\]: wants a map"),
        ("video", {"frames": [b"x", 5]}, r"here\[1\]: wants a map.*got int"),
    ],
)
def test_what_is_none_of_the_forms_is_refused(kind: str, value: Any, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message) as caught:
        source_of(kind, value, "here")
    assert str(caught.value.details["parameter"]).startswith("here")


@pytest.mark.parametrize(
    ("kind", "value", "count"),
    [
        ("image", [b"a", b"b"], 2),
        ("image", (b"a",), 1),
        ("image", array(3, 4, 5, 3), 3),
        ("image", IMAGE, None),
        ("image", b"a", None),
        ("audio", [0.5, 1.0], None),
        ("audio", (AUDIO, 16_000), None),
        ("audio", [AUDIO, 16_000], None),
        ("audio", [AUDIO, AUDIO], 2),
        ("audio", array(2, 100), 2),
        ("video", [IMAGE, IMAGE], None),
        ("video", [VIDEO, VIDEO], 2),
        ("video", (VIDEO, {"fps": 1}), None),
        ("video", [b"a", b"b"], 2),
        ("image", [], 0),
    ],
)
def test_one_item_is_told_from_several(kind: str, value: Any, count: int | None) -> None:
    items = items_of(kind, value)
    assert (None if items is None else len(items)) == count


def test_sources_are_found_beside_what_has_been_read() -> None:
    source = Source("image", "data", b"", "here")
    assert [*sources_in([source, None, source])] == [source, source]
    assert [*sources_in(source)] == [source]
    assert [*sources_in(None)] == []
