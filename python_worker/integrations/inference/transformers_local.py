"""A model of Transformers on this machine, with adapters of PEFT.

Transformers blocks while it works, and a model is not to be used by two threads. So each provider
has a thread of its own, in which its calls run one after the other. A text whose call ends is given
up after its next token.
"""

from __future__ import annotations

import asyncio
import functools
import os
from collections.abc import Callable
from typing import Any, Final, TypeVar

from python_worker.exceptions import InvalidArgument
from python_worker.integrations.inference.provider import (
    Adapter,
    Generation,
    RegisteredAdapters,
    WorkerProvider,
)
from python_worker.integrations.inference.results import GenerationResult
from python_worker.integrations.inference.transformers_model import (
    AUTO,
    CPU,
    AdapterFailed,
    Sampling,
    Text,
    TransformersModel,
)
from python_worker.offline.llm_thread import LLMThread

Result = TypeVar("Result")

DEFAULTS: Final = {
    "temperature": ("RUNE_TEMPERATURE", 0.25),
    "top_p": ("RUNE_TOP_P", 0.9),
    "repetition_penalty": ("RUNE_REPETITION_PENALTY", 1.04),
}
"""By parameter: the variable of the environment that has its default, and what it is without."""

DTYPES: Final = (AUTO, "float32", "bfloat16", "float16")


class TransformersProvider(WorkerProvider):
    """Generates with Transformers.

    Args:
        model_name: A folder, or a name on a hub; it is loaded at the first text.
        device: Such as ``cpu`` or ``cuda:0``; None for the best there is.
        torch_dtype: The dtype of the weights; ``auto`` is the model's own on a CPU, and the most
            exact one that fits elsewhere.
        load: Loads the model.
    """

    def __init__(
        self,
        model_name: str,
        device: str | None = CPU,
        torch_dtype: str = AUTO,
        load: Callable[[str, str | None, str], TransformersModel] = TransformersModel,
    ) -> None:
        if torch_dtype not in DTYPES:
            raise InvalidArgument(
                f"torch_dtype: wants one of {', '.join(DTYPES)}, got {torch_dtype!r}",
                parameter="torch_dtype",
            )
        self._name = model_name
        self._load = functools.partial(load, model_name, device, torch_dtype)
        self._thread = LLMThread(f"transformers {model_name}")
        self._adapters = RegisteredAdapters()
        self._model: TransformersModel | None = None

    @classmethod
    def new(
        cls, model_name: str = "", device: str = CPU, torch_dtype: str = AUTO
    ) -> TransformersProvider:
        """A provider for a model."""
        return cls(model_name, device, torch_dtype)

    async def _generate(self, generation: Generation) -> GenerationResult:
        adapter = self._adapters.find(generation.adapter_id)
        defaults = defaults_now()
        text = await self._in_thread(lambda: self._text(generation, adapter, defaults))
        return GenerationResult(
            text=text.text,
            model=self._name,
            adapter_id=generation.adapter_id,
            token_count=text.token_count,
            finish_reason=text.finish_reason,
        )

    def _text(self, generation: Generation, adapter: Adapter | None, defaults: Sampling) -> Text:
        model = self._loaded()
        try:
            return model.generate(generation, adapter, defaults)
        except AdapterFailed:
            # PEFT may have put a part of it into the model. The next text loads the model anew.
            self._model = None
            raise

    def _loaded(self) -> TransformersModel:
        if not self._name:
            raise InvalidArgument(
                "model_name: no model is named: pass a folder or a name, or set "
                "TRANSFORMERS_MODEL_NAME",
                parameter="model_name",
            )
        if self._model is None:
            self._model = self._load()
        return self._model

    async def load_adapter(self, adapter_id: str, path: str) -> None:
        """Makes a PEFT folder known; it is read at the first text that wants it."""
        self._adapters.register(adapter_id, path)
        await self._in_thread(self._tidy)

    async def unload_adapter(self, adapter_id: str) -> None:
        """Takes an adapter out of the model; an unknown one is ignored."""
        self._adapters.forget(adapter_id)
        await self._in_thread(self._tidy)

    def _tidy(self) -> None:
        if self._model is not None:
            self._model.keep_only(self._adapters.all())

    async def list_adapters(self) -> list[str]:
        """The ids of the adapters, sorted."""
        return self._adapters.ids()

    async def close(self) -> None:
        """Frees the model, after the text that it makes."""
        self._thread.end(self._forget)

    def _forget(self) -> None:
        self._model = None

    async def _in_thread(self, function: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function)


def defaults_now() -> Sampling:
    """The sampling parameters of the environment as it is now.

    Raises:
        InvalidArgument: A variable has no number.
    """
    values: dict[str, Any] = {}
    for name, (variable, default) in DEFAULTS.items():
        given = os.environ.get(variable, "")
        try:
            values[name] = float(given) if given else default
        except ValueError:
            raise InvalidArgument(
                f"{variable}: wants a number, and is {given!r} in the worker's environment",
                parameter=variable,
            ) from None
    # Their ranges are those of the arguments.
    Generation("", "", **values)
    return Sampling(**values)
