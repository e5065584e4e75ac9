"""A voice on Whisper, as any client of the worker has it.

The reference reads the same file with Python's libraries and gives vLLM what it holds.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from python_worker.install.environment import cache_dir
from python_worker.install.progress import Progress
from python_worker.small_models import catalogue
from tests.python.support import media
from tests.python.support.client import Client, Failed, sampling
from tests.python.support.media import data_url, png, tensor
from tests.python.support.media_engines import RED, Asking, Files, running
from tests.python.support.values import Ref
from tests.python.support.worker import Worker

TRANSCRIBE = "<|startoftranscript|><|notimestamps|>"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return Files(tmp_path_factory.mktemp("media"))


@pytest.fixture(scope="module")
def whisper(llm_worker: Worker, files: Files) -> Iterator[Ref]:
    model = catalogue.make(catalogue.WHISPER, cache_dir(), Progress("whisper"))
    yield from running(
        llm_worker,
        model=str(model),
        max_model_len=448,
        allowed_local_media_path=str(files.folder),
        skip_mm_profiling=True,
    )


@pytest.fixture
def listen(llm_client: Client, whisper: Ref) -> Asking:
    return Asking(llm_client, whisper, sampling(temperature=0.0, max_tokens=40))


async def test_whisper_writes_down_what_is_said(listen: Asking, files: Files) -> None:
    wanted = await listen.reference(TRANSCRIBE, {"audio": [files.voice]})
    samples = media.speech().astype(np.float32) / 2**15
    forms: dict[str, Any] = {
        "bytes": media.wav(media.speech(), media.SPEECH_RATE),
        "path": {"path": "voice.wav"},
        "url": {"url": data_url("audio/wav", media.wav(media.speech(), media.SPEECH_RATE))},
        "pair": (tensor(samples), media.SPEECH_RATE),
        "map": {"tensor": tensor(samples), "sampling_rate": media.SPEECH_RATE},
        "floats": media.wav(samples, media.SPEECH_RATE),
    }
    for name, form in forms.items():
        output = await listen.output(TRANSCRIBE, {"audio": form})
        assert (name, list(output.outputs[0].token_ids)) == (name, wanted)
        assert "quick" in output.outputs[0].text
    parts = {
        "encoder_prompt": {"prompt": "", "multi_modal_data": {"audio": forms["bytes"]}},
        "decoder_prompt": TRANSCRIBE,
    }
    items = listen.client.stream(listen.engine, "generate", parts, listen.params, "parts")
    assert [it async for it in items][-1].outputs[0].token_ids == wanted


async def test_what_is_no_audio_is_refused_with_its_name(listen: Asking) -> None:
    silence = np.zeros(16_000, np.float32)
    odd = np.where(np.arange(16_000) == 5, np.nan, silence).astype(np.float32)
    for audio, kind, message in [
        (b"abc", "INVALID", "cannot be read as audio"),
        (tensor(odd), "INVALID", r"\[5\]: wants a finite number"),
        (media.wav(odd, 16_000), "INVALID", "is audio with nan"),
        (tensor(silence[:0]), "INVALID", "got the shape"),
        (tensor(silence.astype(np.int16)), "INVALID", "got int16"),
        ((tensor(silence), 0), "INVALID", "a sampling rate is a number of Hz above 0"),
        ((tensor(silence), 1), "INVALID", "has 16000 s of audio"),
        (media.wav(silence, 44_101), "INVALID", "cannot be resampled"),
        ([tensor(silence), tensor(silence)], "INVALID", "has 2 of audio"),
        ({"path": "/etc/passwd"}, "INVALID", "is not in"),
    ]:
        with pytest.raises(Failed, match=f"{kind}.*{message}") as caught:
            await listen.tokens(TRANSCRIBE, {"audio": audio})
        assert "multi_modal_data['audio']" in str(caught.value) or "has 2" in message
    with pytest.raises(Failed, match=r"UNSUPPORTED.*takes audio only"):
        await listen.tokens(TRANSCRIBE, {"image": png(RED)})
    assert await listen.tokens(TRANSCRIBE, {"audio": tensor(silence)})
