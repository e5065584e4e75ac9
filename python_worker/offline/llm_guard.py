"""What is mixed into vLLM's ``LLM``, or into another class that stands for it.

A method that runs a batch ends it whole: when it fails, when its caller leaves or its deadline
passes, what is left of the batch is aborted, and the next call finds the ``LLM`` as new. vLLM
leaves such requests behind: the next call would run them and return their outputs as its own.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

from typing_extensions import override

from python_worker.engines.guards.lora_loading import PartlyUsed
from python_worker.engines.guards.preprocessing import (
    characters_in,
    check_truncated_length,
    length_of,
)
from python_worker.engines.guards.prompts import check_padding
from python_worker.engines.guards.weight_updates import within
from python_worker.engines.media.messages import Handed, hand_over
from python_worker.engines.media.prompts import (
    check_processor_kwargs,
    loaded_prompts,
    processing,
)
from python_worker.engines.metrics import Metrics
from python_worker.engines.prometheus_series import Series
from python_worker.exceptions import InvalidArgument, Unsupported
from python_worker.offline import progress, vllm_parts
from python_worker.offline.coroutines import at_once
from python_worker.offline.llm_thread import LLMThread, stop_asked
from python_worker.offline.protocols import LLM

# How long a batch may take to stop when its LLM is shut down; a step takes less, as a rule.
STOP_SECONDS = 2.0

WEIGHT_METHODS = (
    "init_weight_transfer_engine",
    "shutdown_weight_transfer_engine",
    "start_weight_update",
    "start_draft_weight_update",
    "update_weights",
    "finish_weight_update",
)


class BatchGuard(LLM):
    """Ends batches whole, and ends the object. It fits the fake ``LLM`` too.

    Attributes:
        _thread: Where all of its methods run; the builder sets it.
    """

    _thread: LLMThread
    _beam_bar: Any = None

    @override
    def generate(self, *args: Any, **kwargs: Any) -> list[Any]:
        return self._batch(super().generate, args, kwargs)

    @override
    def chat(self, *args: Any, **kwargs: Any) -> list[Any]:
        return self._batch(super().chat, args, kwargs)

    @override
    def enqueue(self, *args: Any, **kwargs: Any) -> list[str]:
        return self._batch(super().enqueue, args, kwargs)

    @override
    def enqueue_chat(self, *args: Any, **kwargs: Any) -> list[str]:
        return self._batch(super().enqueue_chat, args, kwargs)

    @override
    def wait_for_completion(self, *args: Any, **kwargs: Any) -> list[Any]:
        return self._batch(super().wait_for_completion, args, kwargs)

    @override
    def beam_search(self, *args: Any, **kwargs: Any) -> list[Any]:
        return self._batch(super().beam_search, args, kwargs)

    @override
    def encode(self, *args: Any, **kwargs: Any) -> list[Any]:
        return self._batch(super().encode, args, kwargs)

    @override
    def embed(self, *args: Any, **kwargs: Any) -> list[Any]:
        return self._batch(super().embed, args, kwargs)

    @override
    def classify(self, *args: Any, **kwargs: Any) -> list[Any]:
        return self._batch(super().classify, args, kwargs)

    @override
    def score(self, *args: Any, **kwargs: Any) -> list[Any]:
        return self._batch(super().score, args, kwargs)

    def _batch(
        self, method: Callable[..., list[Any]], args: Sequence[Any], kwargs: dict[str, Any]
    ) -> list[Any]:
        bound = signature_of(method).bind(self, *args, **kwargs)
        bound.apply_defaults()
        given = bound.arguments
        if "messages" in given:
            check_messages(given["messages"])
        tokenization = given.get("tokenization_kwargs")
        if tokenization:
            check_padding(tokenization, self.model_config.max_model_len)
            check_truncated_length(max(text_lengths(given), default=0), tokenization)
        if "use_tqdm" in given:
            given["use_tqdm"] = bar = progress.bar(given["use_tqdm"])
            if method.__name__ == "beam_search":
                # It draws its bar itself, whatever it is given: ours follows its steps.
                given["use_tqdm"] = False
                self._beam_bar = bar and beam_bar(bar, given)
        try:
            with self._ended_whole():
                return method(*bound.args[1:], **bound.kwargs)
        finally:
            if self._beam_bar:
                self._beam_bar.close()  # tells how far it came
                self._beam_bar = None

    @contextmanager
    def _ended_whole(self) -> Iterator[None]:
        """Abort what a batch leaves behind when it fails, or when its caller has left.

        vLLM runs requests that were enqueued before together with those of the batch. They are
        aborted too, unless the batch failed before it took an output: then they go on waiting.
        """
        engine = self.llm_engine
        before, given = set(engine.output_processor.request_states), engine._outputs_given
        try:
            yield
        except BaseException:
            left = list(engine.output_processor.request_states)
            if engine._outputs_given == given and not stop_asked():
                left = [it for it in left if it not in before]
            if left:
                engine.abort_request(left, internal=True)
            raise

    # --- Its end, and what the worker asks ---

    async def shutdown(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - AsyncLLM's
        """Shut the LLM down and end its processes; a batch that runs is aborted.

        Args:
            timeout: seconds to wait for the processes to end by themselves.
        """
        await asyncio.to_thread(self._shut_down, timeout)

    def _shut_down(self, timeout: float | None = None) -> None:
        self._thread.stop_running(STOP_SECONDS)
        try:
            self._guards.shutdown(timeout)
        finally:
            self._thread.end(self.llm_engine._close)

    @property
    def _guards(self) -> Any:
        return self.llm_engine._guards

    @property
    def errored(self) -> bool:
        """Whether the engine has died, or has been shut down."""
        errored: bool = self._guards.errored
        return errored

    @property
    def dead_error(self) -> BaseException:
        """The error that calls of a dead engine end with."""
        error: BaseException = self._guards.dead_error
        return error

    def get_num_unfinished_requests(self) -> int:
        """How many requests are queued or running."""
        count: int = self.llm_engine.get_num_unfinished_requests()
        return count

    @property
    def _outputs_handled(self) -> int:
        steps: int = self.llm_engine._steps
        return steps

    def _awaits_outputs(self) -> bool:
        # Requests that were only enqueued get their outputs when somebody waits for them.
        stepping: bool = self.llm_engine._stepping
        return stepping

    @property
    def _bridge_metrics(self) -> Metrics | None:
        return getattr(self._guards, "_bridge_metrics", None)

    @property
    def _bridge_series(self) -> Series | None:
        return getattr(self._guards, "_bridge_series", None)


class LLMGuard(BatchGuard):
    """What vLLM's own ``LLM`` needs beside ``BatchGuard``."""

    @override
    def _batch(
        self, method: Callable[..., list[Any]], args: Sequence[Any], kwargs: dict[str, Any]
    ) -> list[Any]:
        """Run a batch whose images, videos and audio have been read."""
        bound = signature_of(method).bind(self, *args, **kwargs)
        given = bound.arguments
        check_processor_kwargs(given.get("mm_processor_kwargs"), "mm_processor_kwargs")
        if "prompts" in given:
            given["prompts"] = at_once(loaded_prompts(self, given["prompts"]))
        handed = Handed(None)
        if "messages" in given:
            check_messages(given["messages"])
            handed = at_once(hand_over(self, given["messages"]))
            given["messages"] = handed.messages
        try:
            return super()._batch(method, bound.args[1:], bound.kwargs)
        finally:
            handed.release()

    @override
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        vllm: Any = super()
        self._guards.weight_methods |= {name: getattr(vllm, name) for name in WEIGHT_METHODS}

    def _take_partly_used(self) -> Iterator[PartlyUsed]:
        used: Iterator[PartlyUsed] = self._guards._take_partly_used()
        return used

    @override
    def _preprocess_cmpl(self, *args: Any, **kwargs: Any) -> Sequence[Any]:
        with processing("prompts"):
            return super()._preprocess_cmpl(*args, **kwargs)

    @override
    def _preprocess_chat(self, *args: Any, **kwargs: Any) -> Sequence[Any]:
        with processing("messages"):
            return super()._preprocess_chat(*args, **kwargs)

    @override
    def _params_to_seq(self, params: Any, num_requests: int) -> Sequence[Any]:
        # The worker tells vLLM to take a client's parameters without a copy. Here one object may
        # be for many prompts, and vLLM writes into it what fits the first.
        if getattr(params, "skip_clone", False):
            params.skip_clone = False
        return super()._params_to_seq(params, num_requests)

    @override
    def _beam_search_step(self, *args: Any, **kwargs: Any) -> bool:
        should_stop = super()._beam_search_step(*args, **kwargs)
        if self._beam_bar:
            self._beam_bar.update(1)
        return should_stop

    @override
    def apply_model(self, func: Any) -> list[Any]:
        if not vllm_parts.insecure_serialization():
            raise Unsupported(
                "apply_model sends a function to the engine's processes, which vLLM refuses unless "
                "the worker is started with VLLM_ALLOW_INSECURE_SERIALIZATION=1 in its environment"
            )
        self._guards._weights.check("apply_model")
        call = functools.partial(self._guards.collective_rpc, "apply_model", None, (func,))
        results: list[Any] = self.llm_engine._run(within(call)())
        return results

    @override
    def get_metrics(self) -> list[Any]:
        if not self.llm_engine.log_stats:
            raise Unsupported(
                "get_metrics needs an LLM that counts: build it with disable_log_stats: false"
            )
        # vLLM reads what is registered for the process.
        with nullcontext() if (series := self._bridge_series) is None else series.registered():
            return super().get_metrics()

    # --- Weights ---

    @override
    def init_weight_transfer_engine(self, request: Any) -> None:
        need_key(request, "init_info")
        self._follow("init_weight_transfer_engine", request)

    @override
    def shutdown_weight_transfer_engine(self) -> None:
        self._follow("shutdown_weight_transfer_engine")

    @override
    def start_weight_update(self) -> None:
        self._follow("start_weight_update")

    @override
    def start_draft_weight_update(self) -> None:
        self._follow("start_draft_weight_update")

    @override
    def update_weights(self, request: Any) -> None:
        need_key(request, "update_info")
        self._follow("update_weights", request)

    @override
    def finish_weight_update(self, weight_version: str | None = None) -> None:
        self._follow("finish_weight_update", weight_version)

    def _follow(self, method: str, *args: Any) -> None:
        self.llm_engine._run(getattr(self._guards, method)(*args))


def beam_bar(make: Callable[..., Any], given: Mapping[str, Any]) -> Any:
    """A bar of the steps of a beam search, of which there are as many as it may have tokens.

    Args:
        make: Makes a bar.
        given: The arguments of the search.
    """
    count = len(given["prompts"])
    batches = -(-count // (given.get("concurrency_limit") or count or 1))
    return make(total=batches * given["params"].max_tokens, desc="Beam search", unit="token")


def check_messages(messages: Any) -> None:
    """Refuse what is neither a conversation nor a list of them; vLLM fails with a KeyError.

    Raises:
        InvalidArgument: It names the message.
    """
    if not isinstance(messages, (list, tuple)):
        raise InvalidArgument(
            "messages: wants a list of messages, or a list of such lists, got "
            f"{type(messages).__name__}",
            parameter="messages",
        )
    is_one = not messages or isinstance(messages[0], dict)
    for index, conversation in enumerate([messages] if is_one else messages):
        path = "messages" if is_one else f"messages[{index}]"
        if not isinstance(conversation, (list, tuple)):
            raise InvalidArgument(f"{path}: wants a list of messages", parameter=path)
        for number, message in enumerate(conversation):
            check_message(message, f"{path}[{number}]")


def check_message(message: Any, path: str) -> None:
    """Refuse a message without a role.

    Raises:
        InvalidArgument: It is no map, or has no role.
    """
    if not isinstance(message, dict):
        raise InvalidArgument(
            f"{path}: wants a map with 'role' and 'content', got {type(message).__name__}",
            parameter=path,
        )
    if not isinstance(message.get("role"), str):
        raise InvalidArgument(f"{path}: needs a 'role' that is a text", parameter=path)


def text_lengths(given: Mapping[str, Any]) -> Iterator[int]:
    """How many characters each prompt, conversation or text of a batch has to be tokenized."""
    prompts = given.get("prompts", ())
    for prompt in prompts if isinstance(prompts, (list, tuple)) else [prompts]:
        yield length_of(prompt, None)
    for name in ("messages", "data_1", "data_2"):
        parts = given.get(name, ())
        # A conversation is a list of maps.
        is_one = not isinstance(parts, (list, tuple)) or any(isinstance(it, dict) for it in parts)
        for part in [parts] if is_one else parts:
            yield characters_in(part)


def need_key(request: Any, key: str) -> None:
    """Refuse a map without the one key that vLLM reads.

    Raises:
        InvalidArgument: It is not there.
    """
    if isinstance(request, dict) and key not in request:
        raise InvalidArgument(f"request: needs {key!r}", parameter="request")


def signature_of(method: Callable[..., Any]) -> inspect.Signature:
    """The signature of a method, with ``self``."""
    return _signature(getattr(method, "__func__", method))


@functools.cache
def _signature(function: Callable[..., Any]) -> inspect.Signature:
    return inspect.signature(function)
