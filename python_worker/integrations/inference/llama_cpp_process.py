"""The process of llama.cpp, seen from the worker: started, asked, and ended.

See ``llama_cpp_child`` for what runs in it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import secrets
import signal
import sys
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from python_worker.exceptions import HttpStatus, InvalidArgument, MissingDependency, Unreachable
from python_worker.integrations.inference.http_client import HttpClient
from python_worker.integrations.inference.provider import ProviderFailed

logger = logging.getLogger(__name__)

CHILD: Final = "python_worker.integrations.inference.llama_cpp_child"

LAST_LINES: Final = 8
"""How many lines of llama.cpp's log an error quotes."""

ENDING_SECONDS: Final = 1.0
"""How long a process may take to end that has closed its connections."""

END_SECONDS: Final = 5.0
"""How long the kernel may take to put a killed process away before the worker stops waiting."""


@dataclass(frozen=True)
class Settings:
    """What a process is started with.

    Attributes:
        model_path: The GGUF file of the model.
        n_ctx: How many tokens prompt and text may have together.
        n_gpu_layers: How many layers are on a GPU; -1 for all.
        threads: How many threads compute; None for llama.cpp's own choice.
        adapter_path: The GGUF file of an adapter.
    """

    model_path: str
    n_ctx: int
    n_gpu_layers: int
    threads: int | None = None
    adapter_path: str | None = None


class LlamaCppProcess:
    """A process that has a model loaded.

    Attributes:
        settings: What it was started with.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._api_key = secrets.token_hex(16)
        self._process: asyncio.subprocess.Process | None = None
        self._client: HttpClient | None = None
        self._log: deque[str] = deque(maxlen=LAST_LINES)
        self._reading: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """The id of the process; None before its start."""
        return None if self._process is None else self._process.pid

    @property
    def runs(self) -> bool:
        """Whether it has loaded the model and has not ended."""
        process = self._process
        return self._client is not None and process is not None and process.returncode is None

    async def start(self) -> None:
        """Starts the process and returns when it has loaded the model.

        Raises:
            MissingDependency: The library is not installed.
            ProviderFailed: The model or the adapter cannot be loaded.
        """
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", CHILD),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        self._reading = asyncio.ensure_future(self._read_log(self._process))
        try:
            told = await self._ask(self._process)
            if "missing" in told:
                raise MissingDependency(told["missing"], **told["details"])
            if "address" not in told:
                await self._kill()
                raise self._failed(f"cannot be loaded by llama.cpp: {told['error'].rstrip('.')}")
        except BaseException:
            await asyncio.shield(self.stop())
            raise
        self._client = HttpClient(told["address"], self._api_key)

    async def _ask(self, process: asyncio.subprocess.Process) -> Mapping[str, Any]:
        assert process.stdin is not None
        assert process.stdout is not None
        settings = {**asdict(self.settings), "api_key": self._api_key}
        process.stdin.write(json.dumps(settings).encode() + b"\n")
        line = await process.stdout.readline()
        if not line:
            await process.wait()
            raise self._failed(f"could not be loaded: {self._end()}")
        told: Mapping[str, Any] = json.loads(line)
        return told

    async def complete(self, body: Mapping[str, object]) -> dict[str, Any]:
        """Has a text generated; it ends when the call is cancelled.

        Args:
            body: The fields of ``/v1/completions``.

        Raises:
            InvalidArgument: llama.cpp refuses the request.
            ProviderFailed: It failed, or its process has ended.
        """
        assert self._client is not None
        try:
            return await self._client.post_json("/v1/completions", body)
        except HttpStatus as error:
            refused = error.details["status"] == 400
            message = f"llama.cpp: {str(error).partition(': ')[2] or error}"
            raise (InvalidArgument if refused else ProviderFailed)(message) from None
        except Unreachable as error:
            end = await self._wait_for_end()
            raise self._failed(f"was lost in the middle of a text: {end}") from error

    async def stop(self) -> None:
        """Ends the process."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()
        await self._kill()

    async def _wait_for_end(self) -> str:
        """Lets a process that is ending do so by itself; returns how it ended."""
        assert self._process is not None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ENDING_SECONDS):
                await self._process.wait()
        end = self._end()
        await self._kill()
        return end

    async def _kill(self) -> None:
        process = self._process
        if process is None:
            return
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        try:
            async with asyncio.timeout(END_SECONDS):
                await process.wait()
                if self._reading is not None:
                    await asyncio.shield(self._reading)
        except TimeoutError:
            logger.warning("llama.cpp's process %d was killed and has not ended", process.pid)

    def _failed(self, what: str) -> ProviderFailed:
        """An error that quotes the end of llama.cpp's log."""
        settings = self.settings
        with_adapter = f" with the adapter {settings.adapter_path}" if settings.adapter_path else ""
        said = f" It said: {' / '.join(self._log)}" if self._log else ""
        return ProviderFailed(
            f"{settings.model_path}{with_adapter} {what}.{said}", model_path=settings.model_path
        )

    def _end(self) -> str:
        """How the process ended."""
        status = None if self._process is None else self._process.returncode
        if status is None:
            return "llama.cpp's process ended the connection"
        if status >= 0:
            return f"llama.cpp's process ended with status {status}"
        hint = "; the machine may be out of memory" if -status == signal.SIGKILL else ""
        return f"llama.cpp's process ended with {signal.Signals(-status).name}{hint}"

    async def _read_log(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr is not None
        # By pieces: a line may have any length.
        left = b""
        while chunk := await process.stderr.read(65536):
            *lines, left = (left + chunk).split(b"\n")
            left = left[-4096:]
            for line in lines:
                if text := line[-400:].decode(errors="replace").strip():
                    self._log.append(text)


def threads() -> int | None:
    """How many threads the environment allows for computing; None where it does not say."""
    given = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    return int(given) if given.isdecimal() and int(given) > 0 else None
