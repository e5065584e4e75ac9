"""What runs in the process of a ``LlamaCppProvider``: llama.cpp with one model.

It comes with the library xllamacpp, or with llama-cpp-python where that alone is installed.

llama.cpp ends its process where it is given what it does not expect, such as a context of one
token, and may take more memory than there is. So it runs apart from the worker and its engines: its
end is an error of one call. The kernel ends this process first where memory runs out.

The first line of stdin has the settings as JSON; the first line of stdout has the address of the
server, or why there is none. The process ends when its stdin does.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from typing import Any, Final

from python_worker.exceptions import MissingDependency
from python_worker.integrations import extras
from python_worker.integrations.inference.llama_cpp_python import CompletionServer, completions
from python_worker.process.child import die_with_parent

EXTRA: Final = "providers"


def start(settings: Mapping[str, Any]) -> Any:
    """Loads the model, and serves it with the first library that is there.

    Args:
        settings: See ``llama_cpp_process.Settings``, and ``api_key``.

    Returns:
        A server, which runs in threads and has its ``listening_address``.

    Raises:
        MissingDependency: No library is there.
        RuntimeError: The model cannot be loaded.
        ValueError: As well.
    """
    try:
        library = extras.load(EXTRA, "xllamacpp")
    except MissingDependency:
        if (other := _llama_cpp_python()) is None:
            raise
        return CompletionServer(completions(other, settings), settings["api_key"])
    return _xllamacpp(library, settings)


def _llama_cpp_python() -> Any:
    """The library; None where it is not there."""
    try:
        return extras.load(EXTRA, "llama_cpp")
    except MissingDependency:
        return None


def _xllamacpp(library: Any, settings: Mapping[str, Any]) -> Any:
    """llama.cpp's own server."""
    params = library.CommonParams()
    params.model.path = settings["model_path"]
    params.n_ctx = settings["n_ctx"]
    params.n_gpu_layers = settings["n_gpu_layers"]
    if settings["threads"] is not None:
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = settings["threads"]
    if settings["adapter_path"] is not None:
        adapter = library.CommonAdapterLoraInfo(settings["adapter_path"], 1.0)
        params.lora_adapters = [adapter]
    # One text after the other, each with the whole context.
    params.n_parallel = 1
    # Otherwise it makes the context smaller without a word where memory is short.
    params.fit_params = False
    # Its server is for the worker alone.
    params.api_keys = [settings["api_key"]]
    params.ui = params.endpoint_slots = False
    params.warmup = False
    # Errors alone: other lines could hold a prompt.
    params.verbosity = 1
    return library.Server(params)


def main() -> None:
    """Runs until the worker ends or closes stdin."""
    die_with_parent()
    be_ended_first()
    answer = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # where libraries print
    # llama.cpp would start a debugger where it ends.
    os.environ["GGML_NO_BACKTRACE"] = "1"
    settings = json.loads(sys.stdin.readline())
    server: Any = None
    told: dict[str, object]
    try:
        server = start(settings)
        told = {"address": server.listening_address}
    except MissingDependency as error:
        told = {"missing": str(error), "details": dict(error.details)}
    except Exception as error:
        told = {"error": str(error)}
    os.write(answer, json.dumps(told).encode() + b"\n")
    if server is not None:
        sys.stdin.read()
    # Without waiting for the threads of a text that nobody reads.
    os._exit(0)


def be_ended_first() -> None:
    """Has the kernel end this process rather than another where memory runs out."""
    try:
        with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
            file.write("1000")
    except OSError:  # no such kernel
        pass


if __name__ == "__main__":
    main()
