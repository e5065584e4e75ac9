"""Prompts and media, as LLaMA-Factory makes them. No engine is built."""

from __future__ import annotations

import wave
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from python_worker.exceptions import InvalidArgument, StaleReference, Unsupported
from python_worker.integrations.llama_factory.media import MediaNotFound
from python_worker.integrations.llama_factory.vllm_engine import VllmEngine
from python_worker.testing.models.scripted_model import ScriptedModel
from tests.python.support.llama_factory import USER, engine, with_processor

TOOL = {"name": "get_weather", "description": "w", "parameters": {"properties": {}}}


@pytest.fixture(scope="module")
def plain(model: ScriptedModel) -> VllmEngine:
    return engine(model.path, template="default")


@pytest.fixture(scope="module")
def seeing(model: ScriptedModel) -> VllmEngine:
    return with_processor(engine(model.path, template="qwen2_vl"))


@pytest.fixture(scope="module")
def hearing(model: ScriptedModel) -> VllmEngine:
    return with_processor(engine(model.path, template="qwen2_audio"))


async def text_of(of: VllmEngine, *args: Any, **media: Any) -> str:
    ids = await of.encode_prompt(*args, **media)
    return str(of._hosted.tokenizer.decode(ids))


def picture(width: int, height: int, mode: str = "RGB") -> bytes:
    content = BytesIO()
    Image.new(mode, (width, height)).save(content, format="PNG")
    return content.getvalue()


# --- Messages, system and tools


@pytest.mark.parametrize(
    "tools",
    [[TOOL], '[{"name": "get_weather", "description": "", "parameters": {"properties": {}}}]'],
)
async def test_system_and_tools_stand_before_the_first_turn(plain: VllmEngine, tools: Any) -> None:
    """L-06."""
    text = await text_of(plain, USER, "Be brief.", tools)
    assert text.index("Be brief.") < text.index("get_weather") < text.index("Hello")


async def test_without_system_and_tools_nothing_is_added(plain: VllmEngine) -> None:
    assert "System" not in await text_of(plain, USER)


async def test_the_messages_of_a_caller_are_left_as_they_are(seeing: VllmEngine) -> None:
    """L-07: upstream writes the placeholders into them."""
    messages = [{"role": "user", "content": "what"}]
    await seeing.encode_prompt(messages, images=[picture(64, 64)])
    assert messages == [{"role": "user", "content": "what"}]


@pytest.mark.parametrize(
    ("messages", "error", "message"),
    [
        ([], InvalidArgument, "at least one"),
        ([{"role": "user"}], InvalidArgument, "wants `role` and `content`"),
        ([{"role": "user", "content": "", "x": ""}], InvalidArgument, "wants `role` and"),
        ([{"role": "system", "content": "x"}], Unsupported, "Unexpected role: system"),
        ([{"role": "function", "content": "x"}], InvalidArgument, "Invalid JSON format"),
        ([{"role": "function", "content": "[1]"}], InvalidArgument, "TypeError"),
    ],
)
async def test_messages_that_cannot_be_rendered_are_refused(
    plain: VllmEngine, messages: list[dict[str, str]], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        await plain.encode_prompt(messages)


async def test_a_template_whose_tokens_the_tokenizer_has_not_is_refused(
    model: ScriptedModel,
) -> None:
    with pytest.raises(InvalidArgument, match="tokens that the model's tokenizer does not have"):
        await engine(model.path, template="chatglm3").encode_prompt(USER)


@pytest.mark.parametrize("word", ["<think>\n", "<tool_call>"])
@pytest.mark.parametrize("role", ["user", "assistant", "function"])
async def test_texts_that_take_long_to_search_are_refused(
    plain: VllmEngine, role: str, word: str
) -> None:
    """Python runs nothing else while it searches, in whatever thread."""
    messages = [*USER, {"role": role, "content": word * 100_000}]
    with pytest.raises(InvalidArgument, match=r"messages\[1\].*take too long to search"):
        await plain.encode_prompt(messages)
    with pytest.raises(InvalidArgument, match="searched in at most"):
        await plain.extract_tool(word * 100_000)
    with pytest.raises(InvalidArgument, match="tools: have at most"):
        await plain.encode_prompt(USER, None, [{**TOOL, "description": word * 200_000}])


async def test_a_long_text_that_is_read_once_is_a_prompt(plain: VllmEngine) -> None:
    assert len(await plain.encode_prompt([{"role": "user", "content": "x " * 100_000}])) > 100_000


async def test_a_call_of_an_object_that_was_released_is_an_error(model: ScriptedModel) -> None:
    released = engine(model.path)
    await released.close()
    with pytest.raises(StaleReference, match="released"):
        await released.encode_prompt(USER)


# --- Placeholders


async def test_placeholders_are_put_before_the_first_message(seeing: VllmEngine) -> None:
    """L-07."""
    images = [picture(64, 64), picture(64, 64)]
    text = await text_of(seeing, [{"role": "user", "content": "what"}], images=images)
    mark = "<|vision_start|><|image_pad|><|vision_end|>"
    assert f"{mark}{mark}what" in text


@pytest.mark.parametrize("name", ["images", "videos", "audios"])
async def test_a_template_for_text_takes_no_media(plain: VllmEngine, name: str) -> None:
    """U-166: upstream ``tests/data/test_mm_plugin.py::test_base_plugin``."""
    given: dict[str, Any] = {
        "images": picture(8, 8),
        "videos": [picture(8, 8)],
        "audios": [0.0, 0.1],
    }
    with pytest.raises(InvalidArgument, match=f"does not support {name[:-1]} input"):
        await text_of(plain, USER, **{name: [given[name]]})


async def test_without_media_a_prompt_of_the_base_plugin_is_unchanged(plain: VllmEngine) -> None:
    """U-166, its second half; an empty list is no media."""
    assert await plain.encode_prompt(USER, images=[]) == await plain.encode_prompt(USER)


async def test_placeholders_and_images_must_be_as_many(seeing: VllmEngine) -> None:
    with pytest.raises(InvalidArgument, match="number of images does not match the number of"):
        await seeing.encode_prompt(
            [{"role": "user", "content": "<image>what"}], images=[picture(64, 64)] * 2
        )


async def test_a_model_without_a_processor_takes_no_media(model: ScriptedModel) -> None:
    bare = engine(model.path, template="qwen2_vl")
    with pytest.raises(InvalidArgument, match="Processor was not found"):
        await bare.encode_prompt(USER, images=[picture(64, 64)])


# --- Images


@pytest.mark.parametrize(
    ("width", "height", "mode"), [(2000, 1000, "RGB"), (64, 64, "RGBA"), (64, 64, "L")]
)
async def test_images_are_made_to_fit_and_rgb(
    plain: VllmEngine, width: int, height: int, mode: str
) -> None:
    """L-08."""
    (found,) = await plain.regularize_images([{"bytes": picture(width, height, mode)}])
    assert found["width"] * found["height"] <= 768 * 768
    assert found["width"] / found["height"] == pytest.approx(width / height, rel=0.01)
    assert found["mode"] == "RGB"
    assert Image.open(BytesIO(found["png"])).size == (found["width"], found["height"])


async def test_a_small_image_is_made_larger(plain: VllmEngine) -> None:
    (found,) = await plain.regularize_images([picture(8, 8)])
    assert (found["width"], found["height"]) == (32, 32)


async def test_a_path_a_map_and_bytes_are_the_same_image(plain: VllmEngine, tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    path.write_bytes(picture(64, 48))
    given = [str(path), {"path": str(path)}, {"bytes": picture(64, 48)}, picture(64, 48)]
    found = await plain.regularize_images(given)
    assert all(it == found[0] for it in found)


@pytest.mark.parametrize("content", [b"no image", picture(8, 8)[:40]])
async def test_bytes_that_are_no_image_are_refused(plain: VllmEngine, content: bytes) -> None:
    with pytest.raises(InvalidArgument, match="LLaMA-Factory"):
        await plain.regularize_images([content])


# --- Videos


def clip(path: Path, seconds: int, rate: int) -> Path:
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=rate)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for index in range(seconds * rate):
            shade = np.full((64, 64, 3), index % 256, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(shade, format="rgb24")))
        container.mux(stream.encode())
    return path


async def test_frames_are_taken_as_they_are(plain: VllmEngine) -> None:
    """L-09."""
    (frames,) = await plain.regularize_videos([[picture(64, 64)] * 3])
    assert [(it["width"], it["height"]) for it in frames] == [(64, 64)] * 3


@pytest.mark.parametrize("as_bytes", [False, True])
async def test_two_frames_of_every_second_are_taken(
    plain: VllmEngine, tmp_path: Path, as_bytes: bool
) -> None:
    """L-09."""
    path = clip(tmp_path / "clip.mp4", seconds=4, rate=8)
    (frames,) = await plain.regularize_videos([path.read_bytes() if as_bytes else str(path)])
    assert len(frames) == 8


async def test_a_frame_that_is_not_there_is_an_error(plain: VllmEngine) -> None:
    with pytest.raises(MediaNotFound, match=r"videos\[0\]\[1\]: there is no file"):
        await plain.regularize_videos([[picture(64, 64), "/nowhere.png"]])


@pytest.mark.parametrize("content", [b"no video", picture(8, 8)[:40]])
async def test_bytes_that_are_no_video_are_refused(plain: VllmEngine, content: bytes) -> None:
    with pytest.raises(InvalidArgument, match="LLaMA-Factory"):
        await plain.regularize_videos([content])


# --- Audio


def sound(path: Path, rate: int = 44_100, channels: int = 2) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.zeros((rate, channels), np.int16).tobytes())
    return path


@pytest.mark.parametrize("as_bytes", [False, True])
async def test_audio_is_one_channel_of_16_kilohertz(
    plain: VllmEngine, tmp_path: Path, as_bytes: bool
) -> None:
    """L-10."""
    path = sound(tmp_path / "sound.wav")
    (samples,) = await plain.regularize_audios([path.read_bytes() if as_bytes else str(path)])
    assert samples.shape == (16_000,)


@pytest.mark.parametrize("given", [[0.0, 0.5, -0.5], np.array([0.0, 0.5, -0.5], np.float64)])
async def test_samples_are_taken_as_they_are(plain: VllmEngine, given: Any) -> None:
    (samples,) = await plain.regularize_audios([given])
    assert samples.tolist() == [0.0, 0.5, -0.5]


async def test_audio_is_given_to_vllm_as_a_list_of_pairs(
    hearing: VllmEngine, tmp_path: Path
) -> None:
    """L-10: upstream hands over an iterator that can be read once."""
    path = str(sound(tmp_path / "sound.wav"))
    parts = await hearing._request(USER, None, None, None, None, [path], None)
    ((samples, rate),) = parts.prompt["multi_modal_data"]["audio"]
    assert (len(samples), rate) == (16_000, 16_000)


@pytest.mark.parametrize("content", [b"no audio", picture(8, 8)])
async def test_bytes_that_are_no_audio_are_refused(plain: VllmEngine, content: bytes) -> None:
    with pytest.raises(InvalidArgument, match="LLaMA-Factory"):
        await plain.regularize_audios([content])
