"""Engines for images, videos and audio: the files that they read, and how they are asked."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tests.python.support import media
from tests.python.support.client import Client, build_engine, sampling
from tests.python.support.media import png
from tests.python.support.values import Ref
from tests.python.support.worker import Worker
from tests.python.support.workers import ONE_PROCESS

PARAMS = sampling(temperature=0.0, max_tokens=8)

RED, BLUE = media.pixels(seed=1), media.pixels(84, 56, seed=2)

# What all of these engines have.
SMALL = {
    **ONE_PROCESS,
    "dtype": "float32",
    "enforce_eager": True,
    "num_gpu_blocks_override": 256,
}


class Files:
    """A folder with an image, another image, frames and a voice; engines may read it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.red, self.blue = self._write("red.png", png(RED)), self._write("blue.png", png(BLUE))
        self.video = str(folder / "frames.npy")
        np.save(self.video, media.frames())
        self.voice = self._write("voice.wav", media.wav(media.speech(), media.SPEECH_RATE))

    def _write(self, name: str, content: bytes) -> str:
        path = self.folder / name
        path.write_bytes(content)
        return str(path)


def running(worker: Worker, **arguments: object) -> Iterator[Ref]:
    """An engine for as long as the module's tests run."""
    engine = build_engine(worker.address, **SMALL, **arguments)
    yield engine

    async def shut_down() -> None:
        async with Client(worker.address) as client:
            await client.call(engine, "shutdown")

    asyncio.run(shut_down())


class Asking:
    """Asks one engine, over the bridge and in process."""

    def __init__(self, client: Client, engine: Ref, params: Any = PARAMS) -> None:
        self.client, self.engine, self.params = client, engine, params
        self._count = 0

    async def tokens(self, prompt: str, data: Any, **more: Any) -> list[int]:
        """The tokens of the answer over the bridge."""
        output = await self.output(prompt, data, **more)
        return list(output.outputs[0].token_ids)

    async def output(self, prompt: str, data: Any, **more: Any) -> Any:
        """The last output over the bridge."""
        given = {"prompt": prompt, "multi_modal_data": data, **more}
        items = self.client.stream(self.engine, "generate", given, self.params, self._next())
        return [item async for item in items][-1]

    async def reference(self, prompt: str, files: dict[str, list[str]], **more: Any) -> list[int]:
        """The tokens of the answer to what Python's libraries read, in process."""
        described = await self.client.call(
            self.engine, "media_in_process", prompt, files, self.params, self._next(), **more
        )
        tokens: list[int] = described["outputs"][0]["token_ids"]
        return tokens

    def _next(self) -> str:
        self._count += 1
        return f"media-{id(self)}-{self._count}"
