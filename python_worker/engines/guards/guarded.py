"""The engine class that clients reach: vLLM's AsyncLLM with guards mixed in. Read this first.

A guard is a mixin that keeps one kind of harm away from an engine, or tells the worker what vLLM
does not:

========================  ======================================================================
``guarded``               the guards in their order, and how they are mixed in
``protocols``             what guards use of vLLM's classes, for mypy; of detokenizers, in
                          ``text_protocols``
``vllm_parts``            what guards call of vLLM beside its engine class
------------------------  ----------------------------------------------------------------------
``async_llm``             checks the configuration, requests, and calls of worker processes, by
                          ``core_requests``, ``unsent_items``, ``prompts``, ``tensors``,
                          ``reasoning``, ``logits_processors``, ``worker_methods`` and
                          ``worker_extension``; names parameters in vLLM's errors by
                          ``parameter_names``;
                          keeps prompts out of texts by ``prompt_ends``; refuses what leaves no
                          token by ``token_constraints`` and ``watched_tokens``, and structures
                          by ``structures`` and ``structure_faults``
``weight_updates``        keeps requests and weight updates apart; the state is in ``weights``
``lora``                  loads adapters before their requests, by ``lora_loading`` and
                          ``lora_usage``
``engine_death``          says how EngineCore ended, by ``core_outputs`` and ``core_exits``;
                          ends an engine of which a part has ended that vLLM does not watch, by
                          ``core_parts``; counts the outputs of each core for ``core_progress``
``streamed_prompts``      checks later elements of a streamed prompt
``preprocessing``         makes requests of prompts in threads, and reads their images by
                          ``engines.media``
``profiling``             starts and stops torch's profiler in one thread, for one engine at a time
``stat_loggers``          counts what the engine does, and keeps its Prometheus series
``admission``             tells the running call that the engine has its request
``token_path``            decides whether the engine's tokens may take the direct path
========================  ======================================================================

The ``__init__`` of this package is empty: vLLM's worker processes import ``worker_extension``
through it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from types import FunctionType
from typing import Any

from python_worker.engines.guards.admission import AdmissionGuard
from python_worker.engines.guards.async_llm import AsyncLLMGuard
from python_worker.engines.guards.engine_death import EngineDeathGuard
from python_worker.engines.guards.lora import LoRAGuard
from python_worker.engines.guards.preprocessing import PreprocessingGuard
from python_worker.engines.guards.profiling import ProfilingGuard
from python_worker.engines.guards.stat_loggers import StatLoggerGuard
from python_worker.engines.guards.streamed_prompts import StreamedPromptsGuard
from python_worker.engines.guards.token_path import TokenPathGuard
from python_worker.engines.guards.weight_updates import WeightUpdatesGuard
from python_worker.settings import TokenPathSetting

NAME = "AsyncLLM"
"""What every engine class is called, also that of a user: clients see it in error messages."""

# A call passes the guards in this order, and reaches vLLM's class last.
#
# - What refuses a call stands before what carries a part of it out: a prompt is checked before its
#   adapter is loaded.
# - ``AsyncLLMGuard`` limits the time of ``collective_rpc``, also of what ``WeightUpdatesGuard``
#   does in it, and it is the last that changes the client of EngineCore: its checks run first.
# - ``LoRAGuard`` calls what comes after it: such calls are neither checked nor followed again.
# - ``PreprocessingGuard`` replaces functions of the input processor: its place does not matter.
# - ``ProfilingGuard`` replaces the profiler of the front end: its place does not matter.
# - ``StatLoggerGuard`` reads the parameters of the ``__init__`` that comes next, so that is vLLM's.
# - ``AdmissionGuard`` is next to vLLM: a call is told of its request when nothing else can refuse
#   it, and in the turn of the loop in which vLLM took it.
# - ``TokenPathGuard`` overrides nothing; its place does not matter.
GUARDS: tuple[type, ...] = (
    AsyncLLMGuard,
    WeightUpdatesGuard,
    LoRAGuard,
    EngineDeathGuard,
    StreamedPromptsGuard,
    PreprocessingGuard,
    ProfilingGuard,
    StatLoggerGuard,
    AdmissionGuard,
    TokenPathGuard,
)

# An engine class that is not vLLM's, such as the fake engine, is not in the danger that vLLM's is.
FOREIGN_GUARDS: tuple[type, ...] = (AdmissionGuard, TokenPathGuard)


def guard_vllm(base: type, *, token_path: TokenPathSetting = "auto") -> Any:
    """What clients reach in place of vLLM's class, or of a subclass of it."""
    return compose(base, GUARDS, token_path=token_path)


def guard_foreign(base: type, *, token_path: TokenPathSetting = "auto") -> Any:
    """What clients reach in place of an engine class that is not vLLM's."""
    return compose(base, FOREIGN_GUARDS, token_path=token_path)


def compose(
    base: type,
    guards: Sequence[type],
    *,
    token_path: TokenPathSetting = "auto",
    name: str = NAME,
) -> type:
    """A subclass of ``base`` with guards mixed in; the first sees a call first.

    Args:
        base: The engine class.
        guards: The guards, the outermost first.
        name: What the subclass is called.
        token_path: See ``Settings``; ``TokenPathGuard`` reads it.
    """
    outermost: dict[str, FunctionType] = {}
    for guard in reversed(guards):
        functions = vars(guard).items()
        outermost |= {method: it for method, it in functions if isinstance(it, FunctionType)}
    namespace: dict[str, Any] = {
        method: described(function, getattr(base, method))
        for method, function in outermost.items()
        if hasattr(base, method)
    }
    namespace |= {"__module__": __name__, "_token_path_setting": token_path}
    return type(name, (*guards, base), namespace)


def described(function: FunctionType, original: Callable[..., Any]) -> FunctionType:
    """A copy of a guard's method with the signature, annotations and docs of vLLM's.

    Arguments are checked against the signature that the served method shows. It is a copy, and
    not a function around the guard's, so that a call takes no longer; and the guard's own stays as
    it is, because it can be mixed into several classes.
    """
    copy = FunctionType(
        function.__code__,
        function.__globals__,
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    copy.__kwdefaults__ = function.__kwdefaults__
    functools.update_wrapper(copy, original)
    return copy
