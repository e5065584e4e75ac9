"""Audio on a tiny Qwen2-Audio, which gets it from LLaMA-Factory.

Images and videos are in ``test_media.py``, whose engine looks at them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from python_worker.testing.models.audio_models import audio_model
from tests.python.support import media
from tests.python.support.client import Client, Failed
from tests.python.support.media import tensor
from tests.python.support.media_engines import PARAMS, Files, running
from tests.python.support.values import Ref
from tests.python.support.worker import Worker

AUDIO = "<|audio_bos|><|AUDIO|><|audio_eos|>"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return Files(tmp_path_factory.mktemp("media"))


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(audio_model(tmp_path_factory.mktemp("models") / "qwen2audio"))


@pytest.fixture(scope="module")
def hearing(llm_worker: Worker, model_folder: str) -> Iterator[Ref]:
    yield from running(
        llm_worker,
        model=model_folder,
        max_model_len=1024,
        limit_mm_per_prompt={"audio": 2},
        skip_mm_profiling=True,
    )


async def test_llama_factory_has_vllm_hear_what_it_is_given(
    llm_client: Client, hearing: Ref, model_folder: str, files: Files
) -> None:
    arguments: dict[str, Any] = {"model_name_or_path": model_folder, "template": "qwen2_audio"}
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
