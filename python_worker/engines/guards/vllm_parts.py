"""What the guards call of vLLM beside its engine class.

Every import of vLLM is in a function: it takes seconds, and unit tests have none.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Hashable, Iterator
from typing import Any

from python_worker.engines.guards.protocols import EngineCoreRequest
from python_worker.exceptions import InvalidArgument
from python_worker.process.large_work import LARGE_WORK
from python_worker.streaming import known_sources

# --- Requests ---


def request_verifier() -> Callable[[EngineCoreRequest], Callable[[], None] | None]:
    """A function that decodes a request as EngineCore will, where an error is fatal.

    It costs 23 µs a request and catches what the annotations allow and the wire does not, such
    as a complex number inside ``extra_args``. Where a request is large, it returns the rest of its
    work, which is to be done in a thread.
    """
    from vllm.v1.engine import EngineCoreRequest as VllmRequest
    from vllm.v1.serial_utils import MsgpackDecoder as VllmDecoder
    from vllm.v1.serial_utils import MsgpackEncoder

    encode = MsgpackEncoder().encode
    decode = VllmDecoder(VllmRequest).decode

    def verify(request: EngineCoreRequest) -> Callable[[], None] | None:
        try:
            encoded = encode(request)
            if len(encoded[0]) >= LARGE_WORK:
                return lambda: verify_encoded(encoded, request)
            decode(encoded)
        except Exception as error:
            raise unreadable(request, error) from error
        return None

    def verify_encoded(encoded: object, request: EngineCoreRequest) -> None:
        try:
            VllmDecoder(VllmRequest).decode(encoded)  # one that is shared is not for threads
        except Exception as error:
            raise unreadable(request, error) from error

    return verify


def unreadable(request: EngineCoreRequest, error: Exception) -> InvalidArgument:
    """The error for a request that EngineCore could not decode."""
    return InvalidArgument(
        f"EngineCore could not read this request: {error}",
        request_id=request.external_req_id or request.request_id,
    )


def is_for_threads(tokenizer: object) -> bool:
    """Whether several threads may use a tokenizer at once."""
    from vllm.tokenizers.hf import ThreadSafeHFTokenizerMixin

    return isinstance(tokenizer, ThreadSafeHFTokenizerMixin)


def one_token() -> Any:
    """The prompt that vLLM checks the parameters of a streamed prompt with."""
    from vllm.inputs import TokensPrompt

    return TokensPrompt(prompt_token_ids=[0])


def text_of_prompt(model_config: Any, prompt: object) -> str | None:
    """The text of a prompt, where it has one."""
    from vllm.renderers.inputs.preprocess import extract_prompt_components

    text: str | None = extract_prompt_components(model_config, prompt).text
    return text


def find_reasoning_parser(name: str) -> Any:
    """The class of a reasoning parser."""
    from vllm.reasoning import ReasoningParserManager

    return ReasoningParserManager.get_reasoning_parser(name)


def load_logits_processors(given: tuple[str | type, ...]) -> object:
    """Import logits processors, as the worker processes do."""
    from vllm.v1.sample.logits_processor import cached_load_custom_logitsprocs

    return cached_load_custom_logitsprocs(given)


# --- Adapters ---


def find_adapter_folder(path: str) -> str | None:
    """The absolute path of an adapter's folder, or None; may ask a hub over the network."""
    from vllm.lora.utils import get_adapter_absolute_path

    try:
        found: str = get_adapter_absolute_path(path)
    except (OSError, ValueError):
        return None
    return os.path.abspath(found) if os.path.isdir(found) else None


# --- Errors: vLLM lets its own through, and wraps all others in an EngineGenerateError ---


def adapter_invalid(message: str) -> Exception:
    """The error for a request whose adapter is wrong."""
    from vllm.exceptions import VLLMValidationError

    error: Exception = VLLMValidationError(message, parameter="lora_request")
    return error


def adapter_not_found(message: str) -> Exception:
    """The error for an adapter that is not there."""
    from vllm.exceptions import VLLMNotFoundError

    error: Exception = VLLMNotFoundError(message)
    return error


def adapter_path_not_found(lora_name: str, lora_path: str) -> Exception:
    """The error for a path that leads to no adapter."""
    from vllm.exceptions import LoRAAdapterNotFoundError

    error: Exception = LoRAAdapterNotFoundError(lora_name, lora_path)
    return error


def no_free_slot(message: str) -> Exception:
    """The error for an adapter that has no room now, and may have later."""
    from vllm.exceptions import QueueOverflowError

    error: Exception = QueueOverflowError()
    error.args = (message,)  # it has a message of its own and takes no other
    return error


# --- Sources ---


def token_path_classes() -> Iterator[tuple[str, Hashable]]:
    """The classes that the token tap relies on, with their roles; by name if one is missing."""
    for role, classes in known_sources.SOURCES.items():
        for path in classes:
            module, _, name = path.rpartition(".")
            try:
                yield role, getattr(importlib.import_module(module), name)
            except (ImportError, AttributeError):
                yield role, path
