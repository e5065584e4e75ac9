"""The images of messages, until the engine's renderer reads them."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from python_worker.exceptions import InvalidArgument
from python_worker.integrations.mellea import library
from tests.python.support.mellea import CHAT, Engine, backend_of

images: Any = library.load("images")

SEEN = {"type": "message", "role": "user", "content": "what", "images": [{"path": "a.png"}]}


def test_a_message_shows_its_images_before_its_text() -> None:
    messages = [{"role": "system", "content": "s"}, {"role": "user", "content": "what"}]
    shown = [[], images.images([b"x", "https://x/a.png"], "it")]
    assert images.with_parts(messages, shown) == [
        messages[0],
        {
            "role": "user",
            "content": [
                {"type": "image", "data": b"x"},
                {"type": "image", "url": "https://x/a.png"},
                {"type": "text", "text": "what"},
            ],
        },
    ]


@pytest.mark.parametrize("odd", [5, None, {}, {"data": b"x", "url": "x"}, {"video": "x"}, [b"x"]])
def test_what_is_no_image_is_refused_by_its_place(odd: Any) -> None:
    with pytest.raises(InvalidArgument, match=r"it\[1\]: wants bytes, a URL, or a map"):
        images.images([b"x", odd], "it")


def test_the_copy_of_an_instruction_shows_the_same_image() -> None:
    [image] = images.images([b"x"], "it")
    assert copy.deepcopy(image) is image
    assert images.images([], "it") is None


async def test_a_model_that_takes_text_only_refuses_images_and_nothing_is_generated() -> None:
    engine = Engine()
    backend = await backend_of(engine)
    told = r"images: the model of this engine takes text only"
    for turns, action in (([], SEEN), ([SEEN], "and now")):
        context = {"type": "chat", "turns": turns}
        with pytest.raises(InvalidArgument, match=told):
            await backend.generate_from_context(action, context)
        with pytest.raises(InvalidArgument, match=told):
            await backend.render_prompt(action, context)
    # A context that tells the model nothing shows it nothing either.
    simple = {"type": "simple", "turns": [SEEN]}
    assert await backend.render_prompt("x", simple) == "user: x\nassistant:"
    assert engine.asked == []


async def test_without_a_chat_images_are_refused() -> None:
    with pytest.raises(InvalidArgument, match=r"actions\[1\].images: only a message"):
        await (await backend_of(Engine())).generate_from_raw(["x", SEEN], CHAT)
