"""The interface of a provider, and the checks that the providers of this worker share."""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from python_worker.exceptions import BridgeError, InvalidArgument, Kind, Unsupported
from python_worker.integrations.inference.results import GenerationResult

MAX_TOKENS: Final = 4096
"""How many tokens are generated at most where the caller does not say."""

MOST_TOKENS: Final = 2**31 - 1
"""What every peer can still read as a number of tokens."""


class UnsupportedOperationError(Unsupported):
    """This provider has no such operation."""


class ModelNotFound(BridgeError):
    """There is no model or adapter at the place that was named."""

    kind = Kind.NOT_FOUND


class ProviderFailed(BridgeError):
    """The library behind a provider failed, or its process ended."""

    kind = Kind.ENGINE_ERROR


class Provider(ABC):
    """What every provider can do."""

    @abstractmethod
    async def generate(
        self,
        prompt: str,
        model: str,
        adapter_id: str | None = None,
        max_tokens: int = MAX_TOKENS,
        system_prompt: str | None = None,
        temperature: float | None = None,
        top_p: float | None = None,
        repetition_penalty: float | None = None,
    ) -> GenerationResult:
        """Generates a text.

        Args:
            prompt: What to answer.
            model: The model, where the provider has several.
            adapter_id: The adapter to use, which was loaded before; None for the model alone.
            max_tokens: The most tokens of the text.
            system_prompt: What the model is told about its task; none if empty.
            temperature: 0 for the likeliest text; None for the provider's own value.
            top_p: The share of likely tokens to choose from; None for the provider's own value.
            repetition_penalty: Above 1 repeats less; None for the provider's own value.
        """

    @abstractmethod
    async def load_adapter(self, adapter_id: str, path: str) -> None:
        """Makes an adapter known under an id."""

    @abstractmethod
    async def unload_adapter(self, adapter_id: str) -> None:
        """Forgets an adapter. Later texts are those of the model without it."""

    @abstractmethod
    async def list_adapters(self) -> list[str]:
        """The ids of the adapters, sorted."""


@dataclass(frozen=True)
class Generation:
    """The checked arguments of ``generate``; see there."""

    prompt: str
    model: str
    adapter_id: str | None = None
    max_tokens: int = MAX_TOKENS
    system_prompt: str | None = None
    temperature: float | None = None
    top_p: float | None = None
    repetition_penalty: float | None = None

    def __post_init__(self) -> None:
        """Checks the numbers.

        Raises:
            InvalidArgument: One is out of its range.
        """
        for name, (wanted, fits) in _RANGES.items():
            value = getattr(self, name)
            if value is not None and not fits(value):
                raise InvalidArgument(
                    f"{name}: wants {wanted}, got {value}", parameter=name, value=value
                )

    @property
    def joined_prompt(self) -> str:
        """System prompt and prompt as one text."""
        return f"{self.system_prompt}\n\n{self.prompt}" if self.system_prompt else self.prompt

    @property
    def messages(self) -> list[dict[str, str]]:
        """System prompt and prompt as messages of a chat."""
        user = {"role": "user", "content": self.prompt}
        if not self.system_prompt:
            return [user]
        return [{"role": "system", "content": self.system_prompt}, user]

    def overrides(self, names: Mapping[str, str]) -> dict[str, float]:
        """The sampling parameters that were given.

        Args:
            names: By the names here: the peer's own.
        """
        given = {theirs: getattr(self, ours) for ours, theirs in names.items()}
        return {name: value for name, value in given.items() if value is not None}


_RANGES: Mapping[str, tuple[str, Callable[[float], bool]]] = {
    "max_tokens": (f"an int from 1 to {MOST_TOKENS}", lambda it: 1 <= it <= MOST_TOKENS),
    "temperature": ("a finite number of at least 0", lambda it: 0 <= it < math.inf),
    "top_p": ("a number above 0 and at most 1", lambda it: 0 < it <= 1),
    # Smaller and larger ones overflow the logits of any model.
    "repetition_penalty": ("a number from 0.01 to 100", lambda it: 0.01 <= it <= 100),
}


class WorkerProvider(Provider):
    """A provider of this worker: its arguments are checked before anything is done."""

    async def generate(
        self,
        prompt: str,
        model: str,
        adapter_id: str | None = None,
        max_tokens: int = MAX_TOKENS,
        system_prompt: str | None = None,
        temperature: float | None = None,
        top_p: float | None = None,
        repetition_penalty: float | None = None,
    ) -> GenerationResult:
        """Generates a text; see ``Provider.generate``."""
        return await self._generate(
            Generation(
                prompt,
                model,
                adapter_id,
                max_tokens,
                system_prompt,
                temperature,
                top_p,
                repetition_penalty,
            )
        )

    @abstractmethod
    async def _generate(self, generation: Generation) -> GenerationResult:
        """Generates a text from checked arguments."""

    @abstractmethod
    async def close(self) -> None:
        """Frees what the provider holds: nobody can call it any more."""


@dataclass(frozen=True)
class Adapter:
    """An adapter as it was registered. What is registered again is another one.

    Attributes:
        path: Where it is.
        number: Of the registration.
    """

    path: str
    number: int


class RegisteredAdapters:
    """The adapters of a provider that loads them when they are first used."""

    def __init__(self) -> None:
        self._adapters: dict[str, Adapter] = {}
        self._numbers = itertools.count(1)

    def register(self, adapter_id: str, path: str) -> None:
        """Makes an id stand for what is at a path now, in place of what it stood for."""
        self._adapters[named(adapter_id)] = Adapter(path, next(self._numbers))

    def forget(self, adapter_id: str) -> None:
        """Makes an id stand for nothing; an unknown one is ignored."""
        self._adapters.pop(adapter_id, None)

    def find(self, adapter_id: str | None) -> Adapter | None:
        """The adapter of an id; None for no adapter.

        Raises:
            InvalidArgument: There is no such adapter.
        """
        if adapter_id is None:
            return None
        if adapter_id not in self._adapters:
            raise unknown_adapter(adapter_id, self.ids())
        return self._adapters[adapter_id]

    def all(self) -> set[Adapter]:
        """The adapters that an id stands for."""
        return set(self._adapters.values())

    def ids(self) -> list[str]:
        """The ids, sorted."""
        return sorted(self._adapters)


def named(adapter_id: str) -> str:
    """An id that is not empty.

    Raises:
        InvalidArgument: It is.
    """
    if not adapter_id:
        raise InvalidArgument("adapter_id: wants a name, got ''", parameter="adapter_id")
    return adapter_id


def unknown_adapter(adapter_id: str, known: list[str]) -> InvalidArgument:
    """The error of an id that no adapter was loaded under."""
    return InvalidArgument(
        f"adapter_id: no adapter {adapter_id!r} is loaded; there are "
        f"{', '.join(map(repr, known)) or 'none'}. Load it with load_adapter",
        parameter="adapter_id",
        value=adapter_id,
    )
