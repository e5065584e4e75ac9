"""The images, videos and audio of a chat: vLLM's renderer gets names in place of URLs."""

from __future__ import annotations

from typing import Any

import pytest

from python_worker.engines.media import handed
from python_worker.engines.media.messages import hand_over
from python_worker.exceptions import BridgeError, InvalidArgument, Unsupported

TEXT = {"type": "text", "text": "what"}
PNG = {"type": "image", "data": b"png"}


def user(*parts: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": list(parts)}]


def resolved(messages: Any) -> list[Any]:
    """What vLLM's loader finds under the names in the first message."""
    parts = messages[0]["content"]
    urls = [part[part["type"]]["url"] for part in parts if part["type"].endswith("_url")]
    return [handed.resolve(url, None, None) for url in urls]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("part", "kind", "value"),
    [
        (PNG, "image", "read b'png'"),
        ({"type": "image", "path": "a"}, "image", "read 'a'"),
        ({"type": "video", "url": "data:,"}, "video", "read 'data:,'"),
        ({"type": "image_url", "image_url": {"url": "data:,"}}, "image", "read 'data:,'"),
        ({"type": "image_url", "image_url": "data:,"}, "image", "read 'data:,'"),
        ({"image_url": {"url": "data:,"}}, "image", "read 'data:,'"),
        ({"type": "input_image", "image_url": "data:,"}, "image", "read 'data:,'"),
        ({"type": "video_url", "video_url": {"url": "data:,"}}, "video", "read 'data:,'"),
    ],
)
async def test_a_part_is_read_and_has_a_name(
    engine: Any, part: dict[str, Any], kind: str, value: str
) -> None:
    given = user(part, TEXT)
    handed = await hand_over(engine, given)
    try:
        shown, text = handed.messages[0]["content"]
        assert shown["type"] == f"{kind}_url"
        assert text == TEXT
        assert resolved(handed.messages) == [value]
        assert given == user(part, TEXT)
        # A call within a call finds them as they are.
        again = await hand_over(engine, handed.messages)
        assert (again.messages, again.urls) == (handed.messages, ())
    finally:
        handed.release()
    with pytest.raises(InvalidArgument, match="there is no image, video or audio at"):
        resolved(handed.messages)


async def test_audio_of_openai_is_a_url(engine: Any) -> None:
    engine.renderer.mm_processor.info.supported_mm_limits["audio"] = None
    engine.renderer.mm_processor.info.allowed_mm_limits["audio"] = 1
    part = {"type": "input_audio", "input_audio": {"data": "QQ==", "format": "wav"}}
    handed = await hand_over(engine, user(part))
    assert resolved(handed.messages) == ["read 'data:audio/wav;base64,QQ=='"]
    handed.release()


async def test_a_part_keeps_its_uuid(engine: Any) -> None:
    handed = await hand_over(engine, user({**PNG, "uuid": "mine"}))
    name = handed.messages[0]["content"][0]["uuid"]
    assert name.startswith("mine-")
    # The name alone, and what has been handed over.
    alone = {"type": "image_url", "image_url": None, "uuid": "mine"}
    again = await hand_over(engine, user(alone))
    assert again.messages == user({**alone, "uuid": name})
    assert (await hand_over(engine, handed.messages)).messages == handed.messages
    handed.release()
    with pytest.raises(InvalidArgument, match="knows no image 'yours'"):
        await hand_over(engine, user({**alone, "uuid": "yours"}))


@pytest.mark.parametrize(
    "messages",
    [
        None,
        5,
        "text",
        [],
        [5],
        [{"role": "user", "content": "text"}],
        user(TEXT, "text"),
        user({"type": "image"}),
        user({"type": "smell", "data": b"x"}),
        user({"type": "text", "text": "a", "uuid": "mine"}),
        user({"type": "image_url"}),
        user({"type": "image_embeds", "image_embeds": "QQ=="}),
    ],
)
async def test_what_shows_nothing_is_left_alone(engine: Any, messages: Any) -> None:
    handed = await hand_over(engine, messages)
    assert handed.messages is messages
    assert handed.urls == ()


@pytest.mark.parametrize(
    ("messages", "error", "message"),
    [
        (
            user(TEXT, {"type": "image", "data": b"broken"}),
            InvalidArgument,
            r"messages\[0\]\.content\[1\]: cannot be read",
        ),
        (user({"type": "image", "path": 5}), InvalidArgument, "'path' wants a text"),
        (user(PNG, PNG, PNG), InvalidArgument, "messages: has 3 of image"),
        ([user(PNG), user(PNG, PNG, PNG)], InvalidArgument, r"messages\[1\]: has 3 of image"),
        (user({"type": "audio", "data": b"x"}), Unsupported, "messages: has audio"),
    ],
)
async def test_what_cannot_be_read_is_named(
    engine: Any, messages: Any, error: type[BridgeError], message: str
) -> None:
    with pytest.raises(error, match=message):
        await hand_over(engine, messages)


async def test_each_conversation_has_its_own_limit(engine: Any) -> None:
    handed = await hand_over(engine, [user(PNG, PNG), user(PNG, PNG)])
    assert len(handed.urls) == 4
    handed.release()


async def test_names_are_not_to_be_guessed(engine: Any) -> None:
    handed = await hand_over(engine, user(PNG, PNG))
    assert len(set(handed.urls)) == 2
    assert all(len(url) > 32 for url in handed.urls)
    handed.release()


async def test_the_processor_is_told_nothing_that_it_may_not_be(engine: Any) -> None:
    with pytest.raises(Unsupported, match="mm_processor_kwargs: 'patch_size' is not"):
        await hand_over(engine, user(PNG), processor_kwargs={"patch_size": 7})
