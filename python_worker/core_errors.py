"""What EngineCore says as text: the one place where a text of vLLM's is read.

EngineCore runs in a process of its own. What it raises comes back as an ``Exception`` with a text;
the class and the fields of the exception are lost on the way. ``TEXTS`` holds every text that the
worker knows, what it means, and the file of vLLM's (or torch's) that writes it; a test finds each
in that file of the installed version.
"""

from __future__ import annotations

import dataclasses
import enum
import re
from collections.abc import Mapping
from functools import cached_property


class Meaning(enum.Enum):
    """What a text means."""

    START_FAILED = enum.auto()
    """EngineCore has not started."""
    SHUTTING_DOWN = enum.auto()
    """EngineCore was told to stop and takes no more calls."""
    CALL_FAILED = enum.auto()
    """A method of EngineCore's raised; the last hole is what it raised."""
    WORKER_FAILED = enum.auto()
    """The method raised in a worker process; the last hole is what it raised there."""
    ADAPTER_NOT_FOUND = enum.auto()
    """There is no adapter of this path, or none loaded of this id."""
    NO_FREE_SLOT = enum.auto()
    """Pinned adapters leave no slot for another one."""
    RELOAD_REFUSED = enum.auto()
    """This load format cannot be loaded again; no weight has been touched."""


class Place(enum.Enum):
    """Where a text stands in a message."""

    WHOLE = "whole"
    START = "start"
    ANYWHERE = "anywhere"


@dataclasses.dataclass(frozen=True)
class Text:
    """A text that is known.

    Attributes:
        meaning: What it means.
        text: As its source has it, with ``{}`` for each value that is put in.
        source: The file that writes it, below ``site-packages``.
        place: Where it stands in the message.
        cls: The class of the exception that has it, exactly.
    """

    meaning: Meaning
    text: str
    source: str
    place: Place = Place.ANYWHERE
    cls: type[BaseException] = Exception

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """Finds the text; a group for each hole."""
        body = "(.*?)".join(map(re.escape, self.text.split("{}")))
        head = "" if self.place is Place.ANYWHERE else r"\A"
        tail = r"\Z" if self.place is Place.WHOLE else ""
        return re.compile(f"{head}{body}{tail}", re.DOTALL)


TEXTS: tuple[Text, ...] = (
    Text(
        Meaning.START_FAILED,
        "Engine core initialization failed",
        "vllm/v1/engine/utils.py",
        Place.START,
        RuntimeError,
    ),
    Text(
        Meaning.SHUTTING_DOWN,
        "Server shutting down",
        "vllm/v1/engine/core.py",
        Place.WHOLE,
    ),
    Text(
        Meaning.CALL_FAILED,
        "Call to {} method failed: {}",
        "vllm/v1/engine/core.py",
        Place.WHOLE,
    ),
    Text(
        Meaning.WORKER_FAILED,
        "Worker failed with error '{}', please check the stack trace above for the root cause",
        "vllm/v1/executor/multiproc_executor.py",
        Place.WHOLE,
    ),
    Text(Meaning.ADAPTER_NOT_FOUND, "No adapter found for {}", "vllm/exceptions.py"),
    Text(Meaning.ADAPTER_NOT_FOUND, "LoRA {} is not registered", "vllm/lora/model_manager.py"),
    Text(Meaning.NO_FREE_SLOT, "No free lora slots", "vllm/lora/model_manager.py"),
    Text(Meaning.NO_FREE_SLOT, "All items are pinned", "vllm/utils/cache.py"),
    Text(
        Meaning.RELOAD_REFUSED,
        "Model reloading with `{}` format",
        "vllm/model_executor/model_loader/reload/inplace.py",
    ),
)

_BY_MEANING: Mapping[Meaning, tuple[Text, ...]] = {
    meaning: tuple(it for it in TEXTS if it.meaning is meaning) for meaning in Meaning
}

FAILURES = (Meaning.CALL_FAILED, Meaning.START_FAILED)
"""What says that it was EngineCore that failed."""


def means(error: BaseException, meaning: Meaning) -> bool:
    """Whether an exception has a text of this meaning."""
    cls = type(error)
    return any(
        cls is known.cls and known.pattern.search(str(error)) is not None
        for known in _BY_MEANING[meaning]
    )


def is_from_core(error: BaseException) -> bool:
    """Whether it was EngineCore that raised an exception."""
    return any(means(error, meaning) for meaning in FAILURES)


def said(error: BaseException) -> str | None:
    """What a method of EngineCore's raised, without what vLLM puts around it.

    Returns:
        None where the exception is not of a failed call.
    """
    text = None
    if type(error) is Exception:
        text = _inner(str(error), Meaning.CALL_FAILED)
    if text is None:
        return None
    inner = _inner(text, Meaning.WORKER_FAILED)
    return text if inner is None else inner


def _inner(text: str, meaning: Meaning) -> str | None:
    found = _BY_MEANING[meaning][0].pattern.fullmatch(text)
    return None if found is None else str(found.groups()[-1])
