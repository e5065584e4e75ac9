"""Imports llamafactory, and makes it run beside the installed vLLM and on engines of this worker.

All that is changed in it is here:

- Its checks of versions are off: the distribution of vLLM for CPUs has another name, and the pins
  of LLaMA-Factory's release are older than what vLLM needs.
- Its ``VllmEngine`` builds no engine. It hands over the engine's arguments, and later each request,
  as maps: who takes them builds or asks a guarded engine, which checks them as those of a client.
- A template belongs to the engine that asked for it. LLaMA-Factory writes an engine's system
  message and tool format into the one template of that name in the process.
- Audio is read by vLLM's loader: torchaudio's own needs a library that vLLM does not.
- Its log goes to the worker's, not to stdout.
"""

from __future__ import annotations

import copy
import functools
import logging
import os
import threading
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Final

from python_worker.engines.builder import import_vllm
from python_worker.integrations import extras
from python_worker.process import cpu_share

logger = logging.getLogger(__name__)

ENVIRONMENT: Final[Mapping[str, str]] = {
    "DISABLE_VERSION_CHECK": "1",
    # Otherwise it turns up the log of all of Transformers with every engine.
    "LLAMAFACTORY_VERBOSITY": "WARNING",
}

_LOCK = threading.Lock()


@dataclass(frozen=True)
class RequestParts:
    """What LLaMA-Factory's engine asks vLLM for.

    Attributes:
        prompt: Token ids, and media if there are any.
        params: The fields of ``SamplingParams``.
        request_id: The id.
    """

    prompt: dict[str, Any]
    params: dict[str, Any]
    request_id: str


class EngineStandIn:
    """In place of vLLM's engine: keeps the arguments, and returns requests as they come.

    Attributes:
        arguments: The fields of ``AsyncEngineArgs``.
    """

    def __init__(self, arguments: dict[str, Any]) -> None:
        self.arguments = arguments

    @classmethod
    def from_engine_args(cls, arguments: dict[str, Any]) -> EngineStandIn:
        """In place of building an engine."""
        return cls(arguments)

    def generate(
        self,
        prompt: dict[str, Any],
        *,
        sampling_params: dict[str, Any],
        request_id: str,
        lora_request: object,
    ) -> RequestParts:
        """In place of asking the engine."""
        return RequestParts(prompt, sampling_params, request_id)


class Library:
    """The parts of llamafactory that are used."""

    def __init__(self) -> None:
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        # First, so that it is told at once where it is missing: vLLM takes seconds.
        self._log = _own_log(extras.load("llama-factory", "llamafactory.extras.logging"))
        # Sets the environment that vLLM is imported in.
        import_vllm("vllm", "AsyncEngineArgs")
        _accept_vllm(extras.load("llama-factory", "llamafactory.extras.misc"))
        self.hparams: Any = extras.load("llama-factory", "llamafactory.hparams")
        self.vllm_engine: Any = extras.load("llama-factory", "llamafactory.chat.vllm_engine")
        self.templates: Any = extras.load("llama-factory", "llamafactory.data.template")
        self.tool_utils: Any = extras.load("llama-factory", "llamafactory.data.tool_utils")
        self.parser: Any = extras.load("llama-factory", "llamafactory.data.parser")
        self.converter: Any = extras.load("llama-factory", "llamafactory.data.converter")
        self.lengths: Any = extras.load(
            "llama-factory", "llamafactory.data.processor.processor_utils"
        )
        _replace(
            self.vllm_engine,
            AsyncEngineArgs=dict,
            SamplingParams=dict,
            LoRARequest=_adapter,
            AsyncLLMEngine=EngineStandIn,
        )
        _replace(self.templates, TEMPLATES=_Copies(self.templates.TEMPLATES))
        mm_plugin: Any = extras.load("llama-factory", "llamafactory.data.mm_plugin")
        functional = mm_plugin.torchaudio.functional
        _replace(mm_plugin, torchaudio=SimpleNamespace(load=_load_audio, functional=functional))

    @contextmanager
    def notes(self) -> Iterator[list[str]]:
        """What it logs in this thread."""
        handler = _Notes()
        self._log.addHandler(handler)
        try:
            yield handler.messages
        finally:
            self._log.removeHandler(handler)

    def engine(self, arguments: tuple[Any, ...]) -> Any:
        """LLaMA-Factory's ``VllmEngine``.

        For a model derived from Yi-VL it replaces a class of vLLM's in this process, which has no
        effect here: ``process/yi_vl`` does it where the model runs.

        Args:
            arguments: What its parser has made of the arguments.
        """
        return self.vllm_engine.VllmEngine(*arguments)


def library() -> Library:
    """Imports llamafactory at the first use, which takes seconds: call this in a thread.

    Raises:
        MissingDependency: It is not installed.
        NotServed: VLLM is not.
    """
    with _LOCK:
        return _imported()


@functools.cache
def _imported() -> Library:
    with cpu_share.raised():  # once for all imports
        return Library()


def returned(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """What a coroutine returns that waits for nothing, as those of the hosted engine's requests."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    coroutine.close()
    raise RuntimeError(f"{coroutine} has to wait")


class _Copies(dict[str, Any]):
    """Templates by name; each look-up gives another copy."""

    def __getitem__(self, name: str) -> Any:
        return copy.deepcopy(super().__getitem__(name))


class _ToOurLog(logging.Handler):
    """Passes on what matters to an operator."""

    def emit(self, record: logging.LogRecord) -> None:
        logger.log(
            record.levelno if record.levelno >= logging.WARNING else logging.DEBUG,
            "%s",
            record.getMessage(),
        )


class _Notes(logging.Handler):
    """Keeps what the thread that made it logs."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []
        self._thread = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self._thread:
            self.messages.append(record.getMessage())


def _own_log(log: Any) -> logging.Logger:
    """LLaMA-Factory's log, which it sets up at the first use, without its handler."""
    found: logging.Logger = log.get_logger("llamafactory")
    found.handlers[:] = [_ToOurLog()]
    found.setLevel(logging.INFO)
    return found


def _replace(module: Any, **values: object) -> None:
    for name, value in values.items():
        setattr(module, name, value)


def _accept_vllm(misc: Any) -> None:
    require = misc.require_version

    def require_version(requirement: str, hint: str | None = None) -> None:
        if not requirement.startswith("vllm"):
            require(requirement, hint)

    misc.require_version = require_version


def _adapter(name: str, number: int, path: str) -> tuple[str, int, str]:
    return name, number, path


def _load_audio(source: Any) -> tuple[Any, float]:
    """As ``torchaudio.load``: the samples of each channel, and their rate."""
    import torch
    from vllm.multimodal.media.audio import load_audio

    samples, rate = load_audio(source, sr=None, mono=False)
    return torch.atleast_2d(torch.from_numpy(samples)), rate
