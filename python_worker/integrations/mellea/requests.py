"""The requests of the engine that a backend's merged options ask for."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Iterable, Mapping
from typing import Any

from mellea.backends.model_options import ModelOption

from python_worker.exceptions import InvalidArgument
from python_worker.integrations.mellea import generation
from python_worker.integrations.mellea.generation import Engine
from python_worker.integrations.mellea.sampling import (
    FROM_MELLEA,
    parameter_names,
    sampling_parameters,
)


class Requests:
    """Makes requests of one engine.

    Args:
        engine: The engine.

    Attributes:
        engine: The engine of the next requests.
    """

    def __init__(self, engine: Engine) -> None:
        """Reads which parameters the engine's requests have."""
        self.engine = engine
        self._names = parameter_names(engine)

    def parameters(self, merged: Mapping[str, Any]) -> dict[str, Any]:
        """The parameters of a request that merged options ask for."""
        renamed = ModelOption.replace_keys(dict(merged), dict(FROM_MELLEA))
        return sampling_parameters(ModelOption.remove_special_keys(renamed), self._names)

    def outputs(
        self, prompt: Any, merged: Mapping[str, Any], format: Any, kind: str, request_id: str
    ) -> AsyncGenerator[Any, None]:
        """The outputs of one request.

        Args:
            prompt: A text, tokens, or what vLLM's renderer has made.
            merged: The options of the call over those of the backend.
            format: A class whose JSON schema the text fits, or None.
            kind: Of the outputs: ``DELTA`` or ``FINAL_ONLY``.
            request_id: Names the request.

        Raises:
            InvalidArgument: A parameter is wrong, or there are two formats.
        """
        if self.engine.errored:
            raise self.engine.dead_error
        parameters = {**self.parameters(merged), "output_kind": kind}
        if format is not None:
            if "structured_outputs" in parameters:
                raise InvalidArgument(
                    "model_options['structured_outputs']: there is a format already",
                    parameter="structured_outputs",
                )
            parameters["structured_outputs"] = {"json": format.model_json_schema()}
        return generation.outputs(self.engine, prompt, parameters, request_id)

    async def last_outputs(
        self, prompts: Iterable[str], merged: Mapping[str, Any], format: Any
    ) -> list[tuple[str, Any]]:
        """The last outputs of requests that run at once, each after its request's name, in order.

        A failure, or the caller's leaving, ends them all.
        """
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._last(it, merged, format)) for it in prompts]
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None
        return [task.result() for task in tasks]

    async def _last(self, prompt: str, merged: Mapping[str, Any], format: Any) -> tuple[str, Any]:
        request_id = request_name()
        last: list[Any] = []

        async def read() -> None:
            async for output in self.outputs(prompt, merged, format, "FINAL_ONLY", request_id):
                last[:] = [output]

        await generation.run(self.engine, read)
        return request_id, last[0]


def request_name() -> str:
    """A new name for a request."""
    return f"mellea-{secrets.token_hex(8)}"
