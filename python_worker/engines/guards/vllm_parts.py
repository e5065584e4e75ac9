"""What the guards call of vLLM beside its engine class.

Every import of vLLM is in a function: it takes seconds, and unit tests have none.
"""

from __future__ import annotations

import functools
import importlib
import json
import os
from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import Any

from python_worker.engines.guards.prompt_ends import PromptEnds
from python_worker.engines.guards.protocols import (
    AsyncLLM,
    EngineCoreRequest,
    MultiModalCache,
    StructuredOutputsParams,
)
from python_worker.engines.guards.structures import Backends
from python_worker.engines.guards.text_protocols import SlowIncrementalDetokenizer
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


def empty_abort() -> tuple[bytes, ...]:
    """A message that ends no request: to EngineCore it is nothing."""
    from vllm.v1.engine import EngineCoreRequestType
    from vllm.v1.serial_utils import MsgpackEncoder

    return (EngineCoreRequestType.ABORT.value, *map(bytes, MsgpackEncoder().encode([])))


def engine_dead() -> Exception:
    """The error that ends the requests of a dead engine."""
    from vllm.v1.engine.exceptions import EngineDeadError

    error: Exception = EngineDeadError()
    return error


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


def cache_of_names(engine: AsyncLLM) -> MultiModalCache | None:
    """What remembers the images that EngineCore has, where only their names are sent again."""
    from vllm.multimodal.cache.lru import LruKeyReplicatedSenderCache

    cache = engine.renderer.mm_processor_cache
    return cache if isinstance(cache, LruKeyReplicatedSenderCache) else None


def find_reasoning_parser(name: str) -> Any:
    """The class of a reasoning parser."""
    from vllm.reasoning import ReasoningParserManager

    return ReasoningParserManager.get_reasoning_parser(name)


def load_logits_processors(given: tuple[str | type, ...]) -> object:
    """Import logits processors, as the worker processes do."""
    from vllm.v1.sample.logits_processor import cached_load_custom_logitsprocs

    return cached_load_custom_logitsprocs(given)


# --- Structured outputs ---


class _Backends:
    """What is called of vLLM's back ends; see ``structures``.

    Args:
        tokenizer: The engine's.
    """

    def __init__(self, tokenizer: object | None) -> None:
        from vllm.v1.structured_output import backend_guidance as guidance
        from vllm.v1.structured_output import backend_lm_format_enforcer as enforcer
        from vllm.v1.structured_output import backend_outlines as outlines
        from vllm.v1.structured_output import backend_xgrammar as xgrammar

        mistral = getattr(tokenizer, "llg_tokenizer", None)

        def enforce(params: Any) -> None:
            # vLLM makes the parser of a schema in EngineCore only.
            enforcer.validate_structured_output_request_lm_format_enforcer(params)
            schema = params.structured_outputs.json
            if schema:
                enforcer.lmformatenforcer.JsonSchemaParser(
                    json.loads(schema) if isinstance(schema, str) else schema
                )
            try:
                enforcer.lmfe_vllm.build_vllm_token_enforcer_tokenizer_data  # noqa: B018
            except ImportError as error:
                # Of lm-format-enforcer 0.11.3, which wants an older vLLM.
                raise ValueError("It cannot be used with this vLLM.") from error

        self.strict = frozenset({"lm-format-enforcer"})
        self.validators: Mapping[str, Callable[[Any], None]] = {
            "xgrammar": xgrammar.validate_xgrammar_grammar,
            "guidance": lambda params: guidance.validate_guidance_grammar(params, mistral),
            "outlines": outlines.validate_structured_output_request_outlines,
            "lm-format-enforcer": enforce,
        }

    @functools.cached_property
    def _bytes(self) -> Any:
        """The back end xgrammar of vLLM's, with a vocabulary of single bytes and an end."""
        import xgrammar
        from vllm.v1.structured_output.backend_xgrammar import XgrammarBackend

        backend: Any = object.__new__(XgrammarBackend)  # ``__init__`` wants a whole engine
        backend.vocab_size = END_OF_BYTES + 1
        vocabulary = [bytes([byte]) for byte in range(END_OF_BYTES)] + [b"</s>"]
        backend.compiler = xgrammar.GrammarCompiler(
            xgrammar.TokenizerInfo(
                vocabulary, vocab_size=backend.vocab_size, stop_token_ids=[END_OF_BYTES]
            ),
            max_threads=1,
            cache_enabled=False,
        )
        backend.num_speculative_tokens = 0
        backend.disable_any_whitespace = False
        return backend

    def matches_nothing(self, structure: StructuredOutputsParams, backend: str) -> bool:
        """Whether a back end leaves no token to begin with.

        What it cannot compile is another matter. It takes 0.2 ms for a short grammar with xgrammar
        and 1 ms with guidance, because so few tokens are tried.
        """
        try:
            return TRIALS[backend](self, structure)
        except Exception:
            return False

    def _nothing_for_guidance(self, structure: StructuredOutputsParams) -> bool:
        import llguidance
        from vllm.v1.structured_output.backend_guidance import serialize_guidance_grammar
        from vllm.v1.structured_output.request import get_structured_output_key

        # Where nothing is left guidance ends the output, as if it were complete.
        grammar = serialize_guidance_grammar(*get_structured_output_key(structure))
        matcher = llguidance.LLMatcher(llguidance.LLTokenizer("byte"), grammar, log_level=0)
        if matcher.is_error():
            return False
        matcher.compute_bitmask()
        return bool(matcher.is_error())

    def _nothing_for_xgrammar(self, structure: StructuredOutputsParams) -> bool:
        import xgrammar
        from vllm.v1.structured_output.request import get_structured_output_key

        grammar = self._bytes.compile_grammar(
            *get_structured_output_key(structure), stop_token_ids={END_OF_BYTES}
        )
        mask = xgrammar.allocate_token_bitmask(1, self._bytes.vocab_size)
        grammar.fill_bitmask(mask, 0)
        return not mask.any()


TRIALS: Mapping[str, Callable[[_Backends, StructuredOutputsParams], bool]] = {
    "xgrammar": _Backends._nothing_for_xgrammar,
    "guidance": _Backends._nothing_for_guidance,
}

END_OF_BYTES = 256


def structure_backends(tokenizer: object | None) -> Backends:
    """The back ends of an engine's structured outputs."""
    return _Backends(tokenizer)


# --- Text of outputs ---


def prompt_ends() -> PromptEnds:
    """What looks at the prompts of an engine, with vLLM's way to decode."""
    import tokenizers.decoders
    from vllm.tokenizers import detokenizer_utils as utils

    def text_of(detokenizer: SlowIncrementalDetokenizer, tokens: list[str]) -> str:
        # As ``detokenize_incrementally`` does.
        tokenizer = detokenizer.tokenizer
        if tokenizer.is_fast or not tokenizer.get_added_vocab():
            return tokenizer.convert_tokens_to_string(tokens)
        text: str = utils._convert_tokens_to_string_with_added_encoders(
            tokenizer,
            tokens,
            detokenizer.skip_special_tokens,
            detokenizer.spaces_between_special_tokens,
        )
        return text

    # Looked up each time, as vLLM does: the class may be replaced.
    def decode_stream(ids: list[int], *, skip_special_tokens: bool) -> object:
        return tokenizers.decoders.DecodeStream(ids=ids, skip_special_tokens=skip_special_tokens)

    return PromptEnds(decode_stream, utils.detokenize_incrementally, text_of)


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
