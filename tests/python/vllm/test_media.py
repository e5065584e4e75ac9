"""Images and videos on a tiny Qwen2-VL, as any client of the worker has them.

The reference reads the same files with Python's libraries and gives vLLM what they hold.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from python_worker.testing.models.vision_models import vision_model
from tests.python.support import media
from tests.python.support.client import Client, Failed
from tests.python.support.llms import kind_of
from tests.python.support.media import data_url, png, tensor
from tests.python.support.media_engines import BLUE, PARAMS, RED, Asking, Files, running
from tests.python.support.values import Ref
from tests.python.support.worker import Worker

IMAGE = "<|vision_start|><|image_pad|><|vision_end|>"
VIDEO = "<|vision_start|><|video_pad|><|vision_end|>"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return Files(tmp_path_factory.mktemp("media"))


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(vision_model(tmp_path_factory.mktemp("models") / "qwen2vl", kind="qwen2vl"))


@pytest.fixture(scope="module")
def qwen(llm_worker: Worker, files: Files, model_folder: str) -> Iterator[Ref]:
    yield from running(
        llm_worker,
        model=model_folder,
        max_model_len=1024,
        limit_mm_per_prompt={"image": 2, "video": 1},
        allowed_local_media_path=str(files.folder),
        skip_mm_profiling=True,
    )


@pytest.fixture
async def ask(llm_client: Client, qwen: Ref, files: Files) -> AsyncIterator[Asking]:
    """Asks Qwen2-VL. Whatever a test does, the engine lives, and the next answer is right."""
    asking = Asking(llm_client, qwen)
    yield asking
    after = await asking.tokens(IMAGE + "what", {"image": png(RED)})
    assert after == await asking.reference(IMAGE + "what", {"image": [files.red]})


# --- Images


async def test_an_image_in_every_form_is_the_image(ask: Asking, files: Files) -> None:
    wanted = await ask.reference(IMAGE + "what", {"image": [files.red]})
    forms: dict[str, Any] = {
        "bytes": png(RED),
        "data": {"data": png(RED, "BMP")},
        "path": {"path": files.red},
        "relative path": {"path": "red.png"},
        "data URL": {"url": data_url("image/png", png(RED))},
        "file URL": {"url": Path(files.red).as_uri()},
        "tensor": tensor(RED),
        "tensor in a map": {"tensor": tensor(RED)},
        "channels first": tensor(RED.transpose(2, 0, 1)),
        "floats": tensor(RED.astype(np.float32)),
        "a list of one": [png(RED)],
        "a tensor of one": tensor(RED[None]),
    }
    for name, form in forms.items():
        assert (name, await ask.tokens(IMAGE + "what", {"image": form})) == (name, wanted)
    assert await ask.tokens(IMAGE + "what", {"image": png(BLUE)}) != wanted


async def test_two_images_keep_their_order(ask: Asking, files: Files) -> None:
    prompt = f"{IMAGE}or{IMAGE}"
    for given, paths in [
        ([png(RED), {"path": files.blue}], [files.red, files.blue]),
        ([tensor(BLUE), png(RED)], [files.blue, files.red]),
    ]:
        wanted = await ask.reference(prompt, {"image": paths})
        assert await ask.tokens(prompt, {"image": given}) == wanted


async def test_images_that_are_hardly_any_leave_the_engine_alive(ask: Asking) -> None:
    """Their channels cannot be told by their extents: read wrongly, they end the engine."""
    for height, width in [(1, 1), (1, 3), (3, 1), (3, 3), (2, 4), (1, 150), (150, 1), (4, 28)]:
        small = media.pixels(height, width)
        for form in (png(small), tensor(small), tensor(small.transpose(2, 0, 1))):
            kind = await kind_of(ask.tokens(IMAGE, {"image": form}))
            assert kind in ("", "INVALID"), (height, width)
    for mode in [RED[..., :1], np.dstack([RED, RED[..., :1]])]:
        assert await ask.tokens(IMAGE, {"image": tensor(mode)})


# --- Videos


async def test_a_video_in_every_form_is_the_video(ask: Asking, files: Files) -> None:
    wanted = await ask.reference(VIDEO + "what", {"video": [files.video]})
    video = media.frames()
    forms: dict[str, Any] = {
        "tensor": tensor(video),
        "channels first": tensor(video.transpose(0, 3, 1, 2)),
        "frames per second": {"tensor": tensor(video), "fps": media.FPS},
        "frames": {"frames": [png(frame) for frame in video], "fps": media.FPS},
        "a list of tensors": [tensor(frame) for frame in video],
    }
    for name, form in forms.items():
        assert (name, await ask.tokens(VIDEO + "what", {"video": form})) == (name, wanted)
    assert await ask.tokens(VIDEO + "what", {"video": tensor(video[::-1])}) != wanted


async def test_a_file_with_a_video_is_read_by_vllm(ask: Asking, files: Files) -> None:
    content = media.mp4(media.frames(8))
    as_bytes = await ask.tokens(VIDEO + "what", {"video": content})
    url = data_url("video/mp4", content)
    assert await ask.tokens(VIDEO + "what", {"video": {"url": url}}) == as_bytes


# --- Chats


def chat(*parts: Any, **fields: Any) -> dict[str, Any]:
    content = [*parts, {"type": "text", "text": "what"}]
    messages = [{"role": "user", "content": content}]
    return {"messages": messages, "temperature": 0.0, "max_tokens": 8, **fields}


async def test_a_chat_with_images_is_as_in_vllms_server(ask: Asking, files: Files) -> None:
    openai = chat({"type": "image_url", "image_url": {"url": data_url("image/png", png(RED))}})
    (body,) = await ask.client.call(ask.engine, "chat_in_process", openai)
    wanted = body["choices"][0]["message"]["content"]
    for part in (
        openai["messages"][0]["content"][0],
        {"type": "image", "data": png(RED)},
        {"type": "image", "path": files.red},
        {"type": "image", "tensor": tensor(RED)},
        {"type": "image", "url": Path(files.red).as_uri()},
        {"type": "image_url", "image_url": {"url": Path(files.red).as_uri()}},
    ):
        answer = await ask.client.call(ask.engine, "chat", chat(part))
        assert answer.choices[0].message.content == wanted, part
        assert answer.usage.prompt_tokens == body["usage"]["prompt_tokens"]
    deltas = ask.client.stream(ask.engine, "stream_chat", chat({"type": "image", "data": png(RED)}))
    assert "".join([it.content or "" async for it in deltas]) == wanted


async def test_a_chat_with_a_video_is_as_in_vllms_server(ask: Asking) -> None:
    content = media.mp4(media.frames(8))
    openai = chat({"type": "video_url", "video_url": {"url": data_url("video/mp4", content)}})
    (body,) = await ask.client.call(ask.engine, "chat_in_process", openai)
    answer = await ask.client.call(ask.engine, "chat", chat({"type": "video", "data": content}))
    assert answer.choices[0].message.content == body["choices"][0]["message"]["content"]


# --- LLaMA-Factory


@pytest.fixture
async def hosted(llm_client: Client, qwen: Ref, model_folder: str) -> Ref:
    arguments = {"model_name_or_path": model_folder, "template": "qwen2_vl", "default_system": ""}
    ref: Ref = await llm_client.call("ChatModel", "new", arguments, engine=qwen)
    return ref


def turn(content: str) -> str:
    """A message in the template of LLaMA-Factory."""
    return f"<|im_start|>user\n{content}<|im_end|>\n<|im_start|>assistant\n"


async def test_llama_factory_has_vllm_see_what_it_is_given(
    ask: Asking, hosted: Ref, files: Files
) -> None:
    frames = [png(frame) for frame in media.frames()]
    options = {"temperature": 0.0, "max_new_tokens": 8}
    cases: list[tuple[str, dict[str, Any], str, dict[str, list[str]]]] = [
        ("what", {"images": [png(RED)]}, f"{IMAGE}what", {"image": [files.red]}),
        ("<image>", {"images": [{"path": files.blue}]}, IMAGE, {"image": [files.blue]}),
        (
            "<image>or<image>",
            {"images": [files.red, {"bytes": png(BLUE)}]},
            f"{IMAGE}or{IMAGE}",
            {"image": [files.red, files.blue]},
        ),
        ("what", {"videos": [frames]}, f"{VIDEO}what", {"video": [files.video]}),
        (
            "what",
            {"images": [files.red], "videos": [frames]},
            f"{VIDEO}{IMAGE}what",
            {"image": [files.red], "video": [files.video]},
        ),
    ]
    for content, given, prompt, read in cases:
        messages = [{"role": "user", "content": content}]
        wanted = await ask.client.call(
            ask.engine, "media_in_process", turn(prompt), read, PARAMS, f"in process {prompt}"
        )
        text = wanted["outputs"][0]["text"]
        (answer,) = await ask.client.call(hosted, "chat", messages, **given, options=options)
        assert answer["response_text"] == text, prompt
        assert answer["prompt_length"] == len(wanted["prompt_token_ids"])
        pieces = await ask.client.items(hosted, "stream_chat", messages, **given, options=options)
        assert "".join(pieces) == text


async def test_llama_factory_is_told_of_more_images_than_the_engine_takes(
    ask: Asking, hosted: Ref
) -> None:
    """L-11."""
    messages = [{"role": "user", "content": "what"}]
    with pytest.raises(Failed, match=r"INVALID.*At most 2 image"):
        await ask.client.call(hosted, "chat", messages, images=[png(RED)] * 3)


# --- What is refused


REFUSED: list[tuple[str, dict[str, Any], str, str]] = [
    ("no image", {"image": b"abc"}, "INVALID", "cannot be read as image"),
    ("cut off", {"image": png(RED)[:-40]}, "INVALID", "truncated"),
    ("a bomb", {"image": png(np.zeros((14_000, 14_000, 3), np.uint8))}, "INVALID", "pixels"),
    ("rank", {"image": tensor(RED[0])}, "INVALID", r"got the shape \[84, 3\]"),
    ("no size", {"image": tensor(RED[:0])}, "INVALID", "got the shape"),
    ("integers", {"image": tensor(RED.astype(np.int64))}, "INVALID", "got int64"),
    ("NaN", {"image": tensor(np.full((9, 9, 3), np.nan, "f4"))}, "INVALID", "finite number"),
    ("outside", {"image": {"path": "/etc/passwd"}}, "INVALID", "is not in .*allowed_local_media"),
    ("upwards", {"image": {"path": "../x.png"}}, "INVALID", "is not in"),
    ("no file", {"image": {"path": "none.png"}}, "INVALID", "is no file"),
    ("network", {"image": {"url": "http://localhost/a.png"}}, "UNSUPPORTED", "allowed_media_dom"),
    ("other URL", {"image": {"url": "ftp://a/b"}}, "INVALID", "a URL is data:"),
    ("ours", {"image": {"url": "vllm-bridge:0"}}, "INVALID", "a URL is data:"),
    ("three", {"image": [png(RED)] * 3}, "INVALID", "has 3 of image.*limit_mm_per_prompt"),
    ("audio", {"audio": tensor(np.zeros(9, "f4"))}, "UNSUPPORTED", "takes image, video only"),
    ("a number", {"image": 5}, "INVALID", "wants a map with one of 'path'"),
    ("no video", {"video": b"abc"}, "INVALID", "cannot be read as video"),
    ("video rank", {"video": tensor(RED)}, "INVALID", "got the shape"),
    ("sizes", {"video": {"frames": [png(RED), png(BLUE)]}}, "INVALID", "have one size"),
    ("modality", {"smell": 1}, "INVALID", "smell"),
]


async def test_what_is_no_image_is_refused_with_its_name(ask: Asking) -> None:
    for name, data, kind, message in REFUSED:
        with pytest.raises(Failed, match=f"{kind}.*{message}") as caught:
            await ask.tokens(f"{IMAGE}{VIDEO}", data)
        if name != "modality":
            assert "multi_modal_data" in str(caught.value), name


async def test_a_part_of_a_chat_that_is_no_image_is_named(ask: Asking) -> None:
    place = r"messages\[0\]\.content\[0\]"
    for part, kind, message in [
        ({"type": "image", "data": b"abc"}, "INVALID", f"{place}: cannot be read as image"),
        ({"type": "image", "path": "/etc/passwd"}, "INVALID", f"{place}: /etc/passwd is not in"),
        ({"type": "image_url", "image_url": {"url": "http://a/b"}}, "UNSUPPORTED", place),
        ({"type": "image_url", "image_url": {"url": "vllm-bridge:0"}}, "INVALID", place),
        ({"type": "audio", "data": b"abc"}, "UNSUPPORTED", "takes image, video only"),
        ({"type": "smell", "data": b"abc"}, "INVALID", "smell"),
    ]:
        with pytest.raises(Failed, match=f"{kind}.*{message}"):
            await ask.client.call(ask.engine, "chat", chat(part))


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ({"patch_size": 7}, "UNSUPPORTED"),
        ({"size": {"height": 9, "width": 9}}, "UNSUPPORTED"),
        ({"max_pixels": 10**12}, "INVALID"),
        ({"max_pixels": -1}, "INVALID"),
        ({"max_pixels": "x"}, "INVALID"),
    ],
)
async def test_a_processor_is_told_nothing_that_ends_the_engine(
    ask: Asking, given: dict[str, Any], kind: str
) -> None:
    with pytest.raises(Failed, match=kind):
        await ask.tokens(IMAGE, {"image": png(RED)}, mm_processor_kwargs=given)
    part = {"type": "image", "data": png(RED)}
    with pytest.raises(Failed, match=kind):
        await ask.client.call(ask.engine, "chat", chat(part, mm_processor_kwargs=given))


async def test_a_request_may_have_its_image_made_smaller(ask: Asking) -> None:
    small = {"mm_processor_kwargs": {"max_pixels": 4 * 28 * 28}}
    output = await ask.output(IMAGE, {"image": png(media.pixels(280, 280))}, **small)
    whole = await ask.output(IMAGE, {"image": png(media.pixels(280, 280))})
    assert len(output.prompt_token_ids) < len(whole.prompt_token_ids)


async def test_a_model_for_texts_takes_no_image(vllm_client: Client, vllm_engine: Ref) -> None:
    asking = Asking(vllm_client, vllm_engine)
    with pytest.raises(Failed, match=r"UNSUPPORTED.*this engine takes text only"):
        await asking.tokens("Hello", {"image": png(RED)})
    with pytest.raises(Failed, match=r"UNSUPPORTED.*this engine takes text only"):
        await vllm_client.call(vllm_engine, "chat", chat({"type": "image", "data": png(RED)}))


# --- What vLLM remembers


async def test_an_image_of_a_refused_request_is_answered_right_afterwards(
    ask: Asking, tmp_path: Path
) -> None:
    """VLLM takes for sent what it has processed, and EngineCore would not find it."""
    image = media.pixels(seed=3)
    path = tmp_path / "image.png"
    path.write_bytes(png(image))
    part = {"type": "image", "data": png(image)}
    with pytest.raises(Failed, match="INVALID"):
        # Refused when it has been rendered.
        await ask.client.call(ask.engine, "chat", chat(part, logit_bias={"999999": 1.0}))
    with pytest.raises(Failed, match="INVALID"):
        await ask.tokens(IMAGE * 1 + "x" * 2000, {"image": png(image)})
    wanted = await ask.reference(IMAGE, {"image": [str(path)]})
    assert await ask.tokens(IMAGE, {"image": png(image)}) == wanted


async def test_the_same_new_image_in_many_requests_at_once(ask: Asking) -> None:
    image = png(media.pixels(seed=4))
    answers = await asyncio.gather(*(ask.tokens(IMAGE, {"image": image}) for _ in range(8)))
    assert len({tuple(answer) for answer in answers}) == 1


# tests/entrypoints/llm/test_mm_cache_stats.py::test_mm_cache_stats
async def test_images_are_found_again_until_the_cache_is_reset(ask: Asking) -> None:
    async def found() -> int:
        before = await ask.client.call(ask.engine, "multimodal_cache")
        await ask.tokens(IMAGE, {"image": png(media.pixels(seed=5))})
        after = await ask.client.call(ask.engine, "multimodal_cache")
        hits: int = after[1] - before[1]
        return hits

    assert await found() == 0
    assert await found() == 1
    await ask.client.call(ask.engine, "reset_mm_cache")
    assert await found() == 0
    assert await found() == 1


async def test_one_name_for_two_images_leaves_the_engine_alive(ask: Asking) -> None:
    named = {"multi_modal_uuids": {"image": ["mine"]}}
    small, large = png(media.pixels(56, 56)), png(media.pixels(280, 280))
    await asyncio.gather(
        *(ask.tokens(IMAGE, {"image": it}, **named) for it in (small, large, small, large))
    )
    wanted = await ask.tokens(IMAGE, {"image": large})
    assert await ask.tokens(IMAGE, {"image": large}, **named) == wanted
    # The name alone is what came with it last.
    assert await ask.tokens(IMAGE, {"image": [None]}, **named) == wanted
    await ask.client.call(ask.engine, "reset_mm_cache")
    for uuids in (named, {"multi_modal_uuids": {"image": ["nobody's"]}}):
        with pytest.raises(Failed, match=r"INVALID.*(with its data|data is not provided)"):
            await ask.tokens(IMAGE, {"image": [None]}, **uuids)
    part = {"type": "image", "data": large, "uuid": "of a chat"}
    wanted = (await ask.client.call(ask.engine, "chat", chat(part))).choices[0].message.content
    alone = {"type": "image_url", "image_url": None, "uuid": "of a chat"}
    answer = await ask.client.call(ask.engine, "chat", chat(alone))
    assert answer.choices[0].message.content == wanted
