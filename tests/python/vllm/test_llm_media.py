"""Images through ``LLM``, on a tiny LLaVA: the same values as in process, and refused batches."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from python_worker.testing.models.vision_models import vision_model
from tests.python.support import media
from tests.python.support.client import Client, Failed, sampling
from tests.python.support.llms import GREEDY, plain, same
from tests.python.support.media import data_url, png, tensor
from tests.python.support.values import Ref
from tests.python.support.worker import Worker
from tests.python.support.workers import ONE_PROCESS

RED, BLUE = media.pixels(seed=1), media.pixels(84, 56, seed=2)

PARAMS = sampling(**GREEDY)

ONE, TWO = {"prompt": "<image>what"}, {"prompt": "<image>or<image>"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("media")
    (folder / "red.png").write_bytes(png(RED))
    (folder / "blue.png").write_bytes(png(BLUE))
    return folder


@pytest.fixture(scope="module")
def llava(
    llm_worker: Worker, folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Ref]:
    model = vision_model(tmp_path_factory.mktemp("models") / "llava", kind="llava")

    async def call(target: Any, method: str, *args: Any, **kwargs: Any) -> Any:
        async with Client(llm_worker.address) as client:
            return await client.call(target, method, *args, **kwargs)

    llm = asyncio.run(
        call(
            "LLM",
            "new",
            str(model),
            **ONE_PROCESS,
            dtype="float32",
            enforce_eager=True,
            max_model_len=512,
            num_gpu_blocks_override=256,
            limit_mm_per_prompt={"image": 2},
            allowed_local_media_path=str(folder),
            skip_mm_profiling=True,
        )
    )
    yield llm
    asyncio.run(call(llm, "shutdown"))


def with_images(prompt: dict[str, Any], *images: Any) -> dict[str, Any]:
    return {**prompt, "multi_modal_data": {"image": list(images)}}


async def test_generate_with_images_is_as_in_process(
    llm_client: Client, llava: Ref, folder: Path
) -> None:
    red, blue = str(folder / "red.png"), str(folder / "blue.png")
    prompts = [
        with_images(ONE, png(RED)),
        {"prompt": "what"},
        with_images(TWO, tensor(BLUE), {"path": "red.png"}),
        with_images(ONE, {"url": data_url("image/png", png(BLUE))}),
    ]
    files = [{"image": [red]}, {}, {"image": [blue, red]}, {"image": [blue]}]
    ours = await llm_client.call(llava, "generate", prompts, PARAMS)
    in_process = [ONE, {"prompt": "what"}, TWO, ONE]
    theirs = await llm_client.call(llava, "media_in_process", in_process, files, PARAMS)
    same(plain(ours), theirs)
    texts = {tuple(output.outputs[0].token_ids) for output in ours}
    assert len(texts) == len(prompts)


async def test_chat_with_images_is_as_in_process(llm_client: Client, llava: Ref) -> None:
    def messages(part: dict[str, Any]) -> list[dict[str, Any]]:
        return [{"role": "user", "content": [part, {"type": "text", "text": "what"}]}]

    openai = messages({"type": "image_url", "image_url": {"url": data_url("image/png", png(RED))}})
    theirs = await llm_client.call(llava, "chat_in_process", openai, PARAMS)
    for given in (
        openai,
        messages({"type": "image", "data": png(RED)}),
        messages({"type": "image", "path": "red.png"}),
        messages({"type": "image", "tensor": tensor(RED)}),
    ):
        ours = await llm_client.call(llava, "chat", given, PARAMS)
        same(plain(ours), theirs)


async def test_a_refused_batch_leaves_no_image_behind(llm_client: Client, llava: Ref) -> None:
    """What vLLM has processed it takes for sent, and EngineCore would not find it."""
    image = png(media.pixels(seed=6))
    good, long = with_images(ONE, image), with_images({"prompt": "<image>" + "x" * 900}, image)
    for prompts, kind in [
        ([good, with_images(ONE, b"abc")], "INVALID"),
        ([long], "INVALID"),
        ([long, good], "INVALID"),
        ([good, long], "INVALID"),
        ([good, with_images(TWO, image, image, image)], "INVALID"),
        ([{"prompt": "what", "multi_modal_data": {"image": image}}], "INVALID"),
        ([{"prompt": "what", "multi_modal_data": {"video": b"x"}}], "UNSUPPORTED"),
    ]:
        with pytest.raises(Failed, match=kind):
            await llm_client.call(llava, "generate", prompts, PARAMS)
    assert await llm_client.call(llava, "get_num_unfinished_requests") == 0
    (first,) = await llm_client.call(llava, "generate", [good], PARAMS)
    (second,) = await llm_client.call(llava, "generate", [good], PARAMS)
    assert first.outputs[0].token_ids == second.outputs[0].token_ids
    assert first.outputs[0].finish_reason == "length"


async def test_what_is_no_image_is_named_with_its_prompt(llm_client: Client, llava: Ref) -> None:
    prompts = [{"prompt": "what"}, with_images(ONE, {"path": "/etc/passwd"})]
    place = r"prompts\[1\]\.multi_modal_data\['image'\]\[0\]: /etc/passwd is not in"
    with pytest.raises(Failed, match=place):
        await llm_client.call(llava, "generate", prompts, PARAMS)
    messages = [{"role": "user", "content": [{"type": "image", "data": b"abc"}]}]
    with pytest.raises(Failed, match=r"messages\[0\]\.content\[0\]: cannot be read as image"):
        await llm_client.call(llava, "chat", messages, PARAMS)
    kwargs: dict[str, Any] = {"mm_processor_kwargs": {"crop_size": 56}}
    with pytest.raises(Failed, match="'crop_size' is not for a request"):
        await llm_client.call(llava, "generate", [with_images(ONE, png(RED))], PARAMS, **kwargs)
