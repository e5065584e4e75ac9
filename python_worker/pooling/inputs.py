"""What a client gives, checked input by input as ``encode`` checks it, with the common parameters.

An input is a prompt as ``encode`` takes it, or a map with ``messages``: a conversation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from python_worker import failures
from python_worker.engines.guards.preprocessing import check_truncated_length, length_of
from python_worker.engines.guards.prompts import check_padding
from python_worker.engines.media.prompts import has_media
from python_worker.exceptions import InputFailed, InvalidArgument, Kind, LimitExceeded, Unsupported
from python_worker.validation.scalars import Check
from python_worker.validation.signatures import signature_of

#: Inputs of one call: the counts of their tokens are encoded on the event loop.
MAX_INPUTS = 32_768

#: The kinds of failures that are not an input's fault, and end all requests of an engine alike.
OF_NO_INPUT = frozenset(
    {Kind.ENGINE_DEAD, Kind.WORKER_DOWN, Kind.DRAINING, Kind.TIMEOUT, Kind.STALE_REF}
)


def raise_failed(argument: str, index: int, error: Exception) -> NoReturn:
    """Raise what was wrong with one input, with its name and its place.

    Args:
        argument: The argument that it is in, such as ``inputs``.
        index: Its number there, from 0.
        error: What was wrong.
    """
    kind = failures.kind_of(error)
    if kind in OF_NO_INPUT or isinstance(error, InputFailed):
        raise error
    path = f"{argument}[{index}]"
    message = failures.message_of(error)
    details = {**failures.details_of(error), "argument": argument, "input": index}
    text = message if message.startswith(path) else f"{path}: {message}"
    raise InputFailed(kind, text, **details) from error


TEXT_PARTS: Final = frozenset({"text", "input_text", "output_text", "refusal", "thinking"})
"""Parts of a message that vLLM takes for text. All others are loaded or decoded."""


@dataclass(frozen=True, slots=True)
class Options:
    """What is given for a whole batch, not yet checked.

    Attributes:
        pooling_params: For all inputs, or a list with those of each.
        tokenization_kwargs: How all inputs are tokenized.
        lora_request: An adapter for all inputs, or a list with that of each.
        priority: Of all inputs, or a list with that of each.
    """

    pooling_params: Any
    tokenization_kwargs: Any
    lora_request: Any
    priority: Any


@dataclass(frozen=True, slots=True)
class Parameters:
    """The parameters of a batch's requests, a value for each.

    Attributes:
        params: The pooling parameters.
        lora_requests: The adapters.
        priorities: The priorities.
        tokenization: The same for all.
    """

    params: Sequence[Any]
    lora_requests: Sequence[Any]
    priorities: Sequence[int]
    tokenization: dict[str, Any] | None

    def of(self, index: int) -> dict[str, Any]:
        """Those of one request, as a context of vLLM's takes them."""
        return {
            "pooling_params": self.params[index],
            "tokenization_kwargs": self.tokenization,
            "lora_request": [self.lora_requests[index]],
            "priorities": [self.priorities[index]],
        }


class Checks:
    """The checks of one engine's ``encode``.

    Args:
        engine: The engine.
    """

    def __init__(self, engine: Any) -> None:
        self._checks: Mapping[str, Check] = signature_of(engine.encode, strict=True).checks
        self._model_config = getattr(engine, "model_config", None)

    def parameters(self, task: str, count: int, given: Options) -> Parameters:
        """The parameters of a batch; a list has one for each input.

        Raises:
            InvalidArgument: A value is wrong, or a list has another length.
        """
        check = self._checks["tokenization_kwargs"]
        tokenization = check(given.tokenization_kwargs, "tokenization_kwargs")
        if tokenization and self._model_config is not None:
            check_padding(tokenization, self._model_config.max_model_len)
        return Parameters(
            each(given.pooling_params, count, "pooling_params", self._params_of(task)),
            each(given.lora_request, count, "lora_request", self._lora_request),
            each(given.priority, count, "priority", self._checks["priority"]),
            tokenization,
        )

    def trace_headers(self, value: Any) -> Any:
        """The trace context of all requests.

        Raises:
            InvalidArgument: It is no map of texts.
        """
        return self._checks["trace_headers"](value, "trace_headers")

    def _lora_request(self, given: Any, path: str) -> Any:
        # One that was found by its name is an object already.
        is_found = given is not None and type(given).__name__ == "LoRARequest"
        return given if is_found else self._checks["lora_request"](given, path)

    def _params_of(self, task: str) -> Check:
        def check(given: Any, path: str) -> Any:
            fields = {} if given is None else given
            if not isinstance(fields, Mapping):
                return self._checks["pooling_params"](fields, path)
            if fields.get("task") not in (None, task):
                raise InvalidArgument(
                    f"{path}.task: this call's is {task!r}, got {fields['task']!r}",
                    parameter=f"{path}.task",
                )
            return self._checks["pooling_params"]({**fields, "task": task}, path)

        return check

    def prompt(self, value: Any, path: str, tokenization: Mapping[str, Any] | None) -> Any:
        """One prompt.

        Raises:
            InvalidArgument: It is none, or one that says that vLLM has rendered it.
        """
        prompt = self._checks["prompt"](value, path)
        if isinstance(prompt, dict) and "type" in prompt:
            raise InvalidArgument(
                f"{path}: a prompt that has been rendered is not taken here; give a text, ids or "
                "a map without 'type'",
                parameter=path,
            )
        if has_media(prompt):
            raise no_media(path)
        check_truncated_length(length_of(prompt, None), tokenization)
        return prompt


def each(value: Any, count: int, name: str, check: Callable[[Any, str], Any]) -> list[Any]:
    """A checked value for each of so many inputs.

    Args:
        value: One for all, or a list with one for each.
        count: How many inputs there are.
        name: Of the parameter.
        check: Of one value.

    Raises:
        InvalidArgument: The list has another length, or a value is wrong.
    """
    if not isinstance(value, (list, tuple)):
        return [check(value, name)] * count
    if len(value) != count:
        raise InvalidArgument(
            f"{name}: wants one value, or a list of as many as there are inputs, {count}; "
            f"got {len(value)}",
            parameter=name,
            inputs=count,
            given=len(value),
        )
    return [check(one, f"{name}[{index}]") for index, one in enumerate(value)]


def check_count(inputs: Sequence[Any], name: str) -> None:
    """Refuse a batch without inputs, and one of more than can be.

    Raises:
        InvalidArgument: There are none.
        LimitExceeded: There are too many.
    """
    if not inputs:
        raise InvalidArgument(f"{name}: wants at least one, got an empty list", parameter=name)
    if len(inputs) > MAX_INPUTS:
        raise LimitExceeded(
            f"{name}: {len(inputs)} inputs in one call; the limit is {MAX_INPUTS}: split them",
            parameter=name,
            limit=MAX_INPUTS,
        )


def check_content(content: Any, path: str) -> None:
    """Refuse parts of a message or a document that are no texts.

    Raises:
        Unsupported: A part is an image, a video or audio.
    """
    if not isinstance(content, (list, tuple)):
        return
    for number, part in enumerate(content):
        if isinstance(part, Mapping) and part.get("type", "text") not in TEXT_PARTS:
            raise no_media(f"{path}[{number}]")


def no_media(path: str) -> Unsupported:
    """The error of an input that is no text."""
    return Unsupported(
        f"{path}: a batch takes texts only; images, videos and audio go through AsyncLLM.encode, "
        "one prompt a call",
        parameter=path,
    )


def is_conversation(value: Any) -> bool:
    """Whether an input is a map with messages, to be rendered by the chat template."""
    return isinstance(value, Mapping) and "messages" in value
