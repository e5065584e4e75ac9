"""The images, videos and audio of a prompt."""

from __future__ import annotations

from typing import Any

import pytest

from python_worker.engines.media.prompts import (
    check_processor_kwargs,
    has_media,
    loaded_prompt,
    loaded_prompts,
    processing,
)
from python_worker.exceptions import BridgeError, InvalidArgument, Unsupported

PNG = {"multi_modal_data": {"image": b"png"}}


@pytest.mark.parametrize(
    ("prompt", "has"),
    [
        ("text", False),
        ([1, 2], False),
        ({"prompt": "a"}, False),
        ({"prompt": "a", "multi_modal_data": None}, False),
        ({"prompt": "a", "multi_modal_data": {}}, False),
        (PNG, True),
        ({"mm_processor_kwargs": {"fps": 1}}, True),
        ({"type": "multimodal", **PNG}, False),
        ({"encoder_prompt": PNG, "decoder_prompt": "a"}, True),
    ],
)
def test_a_prompt_with_media_is_told_at_once(prompt: Any, has: bool) -> None:
    assert has_media(prompt) is has


@pytest.mark.parametrize(
    ("data", "loaded"),
    [
        ({"image": b"a"}, {"image": ["read b'a'"]}),
        ({"image": [b"a", {"path": "b"}]}, {"image": ["read b'a'", "read 'b'"]}),
        ({"image": [None, b"a"]}, {"image": [None, "read b'a'"]}),
        ({"image": None}, {"image": None}),
        ({"image": b"a", "video": b"b"}, {"image": ["read b'a'"], "video": ["read b'b'"]}),
        ({"smell": 5}, {"smell": 5}),
        ({"image": {"image_embeds": 5}}, {"image": {"image_embeds": 5}}),
        ({"audio": {"audio_embeds": 5}}, {"audio": {"audio_embeds": 5}}),
    ],
)
async def test_what_is_written_is_read(engine: Any, data: Any, loaded: Any) -> None:
    prompt = {"prompt": "x", "multi_modal_data": data}
    assert await loaded_prompt(engine, prompt) == {"prompt": "x", "multi_modal_data": loaded}
    assert prompt["multi_modal_data"] is data


async def test_both_parts_of_a_prompt_are_read(engine: Any) -> None:
    prompt = {"encoder_prompt": PNG, "decoder_prompt": "a"}
    assert await loaded_prompt(engine, prompt) == {
        "encoder_prompt": {"multi_modal_data": {"image": ["read b'png'"]}},
        "decoder_prompt": "a",
    }


async def test_prompts_of_a_batch_are_read(engine: Any) -> None:
    read = {"multi_modal_data": {"image": ["read b'png'"]}}
    assert await loaded_prompts(engine, ["a", PNG]) == ["a", read]
    assert await loaded_prompts(engine, PNG) == read
    for prompts in ("a", ["a", [1]], None, 5):
        assert await loaded_prompts(engine, prompts) is prompts


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        ({"image": b"broken"}, InvalidArgument, r"prompt.multi_modal_data\['image'\]: cannot be"),
        ({"image": [b"a", b"broken"]}, InvalidArgument, r"data\['image'\]\[1\]: cannot be read"),
        ({"image": [b"a"] * 3}, InvalidArgument, "has 3 of image, and .* takes 2 .*image: 3"),
        ({"video": [b"a"] * 2}, InvalidArgument, "has 2 of video, and this engine takes 1"),
        ({"audio": b"a"}, Unsupported, "has audio, and this model takes image, video only"),
    ],
)
async def test_what_cannot_be_read_is_named(
    engine: Any, data: Any, error: type[BridgeError], message: str
) -> None:
    with pytest.raises(error, match=message):
        await loaded_prompt(engine, {"multi_modal_data": data})


async def test_a_model_for_texts_takes_none(engine: Any) -> None:
    engine.renderer.mm_processor = None
    with pytest.raises(Unsupported, match="has image, and this engine takes text only"):
        await loaded_prompt(engine, PNG)


async def test_names_are_those_of_the_content(engine: Any) -> None:
    async def names(image: Any, uuids: Any) -> Any:
        prompt = {"multi_modal_data": {"image": image}, "multi_modal_uuids": {"image": uuids}}
        return (await loaded_prompt(engine, prompt))["multi_modal_uuids"]["image"]

    (one,) = await names(b"one", ["mine"])
    assert one.startswith("mine-")
    assert await names(b"one", "mine") == [one]
    (two,) = await names(b"two", ["mine"])
    assert two != one
    assert await names([None, b"one"], ["mine", None]) == [two, None]
    assert await names([b"one"], ["too", "many"]) == ["too", "many"]
    with pytest.raises(InvalidArgument, match="knows no image 'yours'"):
        await names([None], ["yours"])


def test_what_is_raised_while_a_prompt_is_prepared_is_about_it() -> None:
    refusal = "prompt: cannot be prepared for this model: KeyError: 'x'"
    with pytest.raises(InvalidArgument, match=refusal), processing("prompt"):
        raise KeyError("x")
    with pytest.raises(OSError, match="disk"), processing("prompt"):
        raise OSError("disk")


@pytest.mark.parametrize("given", [None, {}, {"max_pixels": 100, "use_audio_in_video": True}])
def test_what_a_request_may_tell_the_processor(given: Any) -> None:
    check_processor_kwargs(given, "kwargs")


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"patch_size": 7}, Unsupported, "kwargs: 'patch_size' is not for a request"),
        ({"max_pixels": "many"}, InvalidArgument, r"kwargs\['max_pixels'\]: wants a number"),
        ({"max_pixels": -1}, InvalidArgument, "0 or more"),
        ({"max_pixels": 10**12}, InvalidArgument, "wants at most"),
        (5, InvalidArgument, "kwargs: wants a map, got int"),
    ],
)
def test_what_it_may_not(given: Any, error: type[BridgeError], message: str) -> None:
    with pytest.raises(error, match=message):
        check_processor_kwargs(given, "kwargs")
