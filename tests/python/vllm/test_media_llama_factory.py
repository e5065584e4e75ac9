"""Audio on a tiny Qwen2-Audio and images on a tiny Yi-VL, which get them from LLaMA-Factory.

Other images and videos are in ``test_media.py``, whose engine looks at them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from python_worker.testing.models.audio_models import audio_model
from python_worker.testing.models.vision_models import vision_model
from tests.python.support import media
from tests.python.support.client import Client, Failed
from tests.python.support.media import png, tensor
from tests.python.support.media_engines import BLUE, PARAMS, RED, Files, running
from tests.python.support.values import Ref
from tests.python.support.worker import Worker

AUDIO = "<|audio_bos|><|AUDIO|><|audio_eos|>"

SMALL: dict[str, object] = {"max_model_len": 1024, "skip_mm_profiling": True}


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


@pytest.fixture
def hearing_model(tmp_path: Path) -> str:
    return str(audio_model(tmp_path / "qwen2audio"))


@pytest.fixture
def hearing(llm_worker: Worker, hearing_model: str) -> Iterator[Ref]:
    limits = {"audio": 2}
    yield from running(llm_worker, model=hearing_model, limit_mm_per_prompt=limits, **SMALL)


@pytest.fixture
def yi_vl_model(tmp_path: Path) -> str:
    return str(vision_model(tmp_path / "yivl", kind="yivl"))


@pytest.fixture
def yi_vl(llm_worker: Worker, yi_vl_model: str) -> Iterator[Ref]:
    yield from running(llm_worker, model=yi_vl_model, **SMALL)


async def test_llama_factory_has_vllm_hear_what_it_is_given(
    llm_client: Client, hearing: Ref, hearing_model: str, files: Files
) -> None:
    arguments: dict[str, Any] = {"model_name_or_path": hearing_model, "template": "qwen2_audio"}
    arguments |= {"default_system": "", "audio_sampling_rate": media.SPEECH_RATE}
    hosted = await llm_client.call("ChatModel", "new", arguments, engine=hearing)
    options = {"temperature": 0.0, "max_new_tokens": 8}
    messages = [{"role": "user", "content": "what"}]

    async def in_process(content: str, paths: list[str]) -> str:
        prompt = f"<|im_start|>user\n{content}<|im_end|>\n<|im_start|>assistant\n"
        described = await llm_client.call(
            hearing, "media_in_process", prompt, {"audio": paths}, PARAMS, content
        )
        text: str = described["outputs"][0]["text"]
        return text

    voice = await in_process(f"{AUDIO}what", [files.voice])
    content = media.wav(media.speech(), media.SPEECH_RATE)
    samples = media.speech().astype(np.float32) / 2**15
    for audio in (files.voice, {"path": files.voice}, {"bytes": content}, content, tensor(samples)):
        (answer,) = await llm_client.call(hosted, "chat", messages, audios=[audio], options=options)
        assert answer["response_text"] == voice
    (other,) = await llm_client.call(
        hosted, "chat", messages, audios=[tensor(samples[::-1])], options=options
    )
    assert other["response_text"] != voice
    twice = [{"role": "user", "content": "<audio>or<audio>"}]
    (answer,) = await llm_client.call(
        hosted, "chat", twice, audios=[content, files.voice], options=options
    )
    assert answer["response_text"] == await in_process(f"{AUDIO}or{AUDIO}", [files.voice] * 2)
    with pytest.raises(Failed, match=r"INVALID.*has 3 of audio"):
        await llm_client.call(hosted, "chat", messages, audios=[content] * 3, options=options)


async def test_a_model_derived_from_yi_vl_sees(
    llm_client: Client, yi_vl: Ref, yi_vl_model: str
) -> None:
    """L-12. Its weights do not fit vLLM's own projector for LLaVA."""
    arguments = {"model_name_or_path": yi_vl_model, "template": "llava"}
    hosted = await llm_client.call("ChatModel", "new", arguments, engine=yi_vl)
    notes = await llm_client.call(hosted, "engine_notes")
    assert any("Detected Yi-VL model" in note for note in notes)
    messages = [{"role": "user", "content": "what"}]
    options = {"temperature": 0.0, "max_new_tokens": 8}
    texts = []
    for image in (RED, BLUE, RED):
        (answer,) = await llm_client.call(
            hosted, "chat", messages, images=[png(image)], options=options
        )
        texts.append(answer["response_text"])
    assert texts[0] == texts[2] != texts[1]
