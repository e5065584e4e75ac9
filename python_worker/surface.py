"""The one list of what clients reach: a row per class, with its constructor and its policy.

A new class is served by one more row. What the columns mean stands in ``ServedClass``; objects of
classes without a row, such as tokenizers, are served by its defaults.
"""

from __future__ import annotations

import copy
import functools
import inspect
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from python_worker.chat.completions import Chats
from python_worker.dispatch.served_classes import Constructors, ServedClass, ServedClasses
from python_worker.dispatch.worker_class import Worker
from python_worker.engines.builder import CONSTRUCTORS, Builder, abort
from python_worker.engines.collector import RequestOutputCollector, collect
from python_worker.engines.constructors import EngineArguments, construct
from python_worker.engines.kv_events import kv_events
from python_worker.engines.parameter_classes import PATHS, ParameterClass, SamplingParamsClass
from python_worker.engines.results import RESULTS
from python_worker.engines.vllm_module import VllmModule
from python_worker.integrations.inference.served import inference
from python_worker.integrations.llama_factory.served import llama_factory
from python_worker.integrations.mellea.served import mellea
from python_worker.offline import arguments as offline_arguments
from python_worker.offline.builder import LLMBuilder
from python_worker.pooling.poolings import Poolings
from python_worker.validation.renamed_parameters import TRANSLATIONS

logger = logging.getLogger(__name__)

# Batches, which tell their client how far they have come.
ENGINE_BATCHES = frozenset({"embed", "classify", "score", "encode_batch"})
LLM_BATCHES = frozenset(
    {
        *("generate", "chat", "beam_search", "enqueue", "enqueue_chat", "wait_for_completion"),
        *("encode", "embed", "classify", "score"),
    }
)

# What a client may do that is limited to inference; see ``ServedClass.inference``. ``abort`` is not
# among it, because it takes the ids of any client's requests: streams are ended by cancelling them.
ENGINE_INFERENCE = frozenset(
    {
        *("generate", "encode", "chat", "stream_chat", "add_request"),
        *ENGINE_BATCHES,
        *("check_admission", "check_health", "dead_error", "errored", "get_supported_tasks"),
        *("get_num_queued_tokens", "get_num_unfinished_requests"),
        *("is_paused", "is_running", "is_sleeping", "is_stopped"),
    }
)
LLM_INFERENCE = frozenset(
    {
        *("generate", "encode", "chat", "beam_search", "embed", "classify", "score"),
        *("dead_error", "errored", "get_default_sampling_params", "get_num_unfinished_requests"),
    }
)

# Classes of parameters whose functions read files and ask the model hub.
READING_FILES = frozenset({"AsyncEngineArgs", "EngineArgs", "LoRARequest"})


def served_classes(builder: Builder, worker: Worker) -> ServedClasses:
    """Every class that a client can reach.

    Args:
        builder: Builds engines.
        worker: The worker itself, as an object.
    """
    return ServedClasses(
        [
            async_llm(builder),
            llm(LLMBuilder(builder)),
            *parameter_classes(builder),
            ServedClass(
                name="vllm",
                singleton=VllmModule(builder),
                shown=frozenset({"initialize_ray_cluster", "module_attr"}),
            ),
            ServedClass(
                name="RequestOutputCollector",
                cls=RequestOutputCollector,
                shown=frozenset({"close", "get", "get_nowait", "request_id"}),
                owner=lambda collector: collector.engine,
                released=RequestOutputCollector.released,
                unlimited=frozenset({"close", "get_nowait", "request_id"}),
                inference=frozenset({"close", "get", "get_nowait", "request_id"}),
            ),
            ServedClass(
                name="Worker",
                singleton=worker,
                limited=False,
                inference=frozenset({"metrics", "release", "status"}),
            ),
            *inference(),
            *llama_factory(),
            *mellea(),
        ]
    )


def parameter_classes(builder: Builder) -> Iterator[ServedClass]:
    """VLLM's parameter classes, whose objects are values."""
    special: dict[str, type[ParameterClass]] = {
        "SamplingParams": SamplingParamsClass,
        "AsyncEngineArgs": EngineArguments,
        "EngineArgs": EngineArguments,
    }
    for name in PATHS:
        cls = special.get(name, ParameterClass)
        methods = dict(inspect.getmembers(cls, inspect.iscoroutinefunction))
        shown = frozenset(it for it in methods if not it.startswith("_"))
        inference = frozenset() if name in READING_FILES else shown
        yield ServedClass(name=name, singleton=cls(builder, name), shown=shown, inference=inference)


def async_llm(builder: Builder) -> ServedClass:
    """VLLM's ``AsyncLLM``."""
    return ServedClass(
        name="AsyncLLM",
        constructors=Constructors(
            CONSTRUCTORS,
            functools.partial(_build_engine, builder),
            declaring="declared",
            declared="from_engine_args",
        ),
        # Its fields lead to vLLM's internals, where a call can do anything.
        only_declared=True,
        progress=ENGINE_BATCHES,
        # vLLM keeps it to itself, and clients of earlier versions know it by name.
        private=frozenset({"_run_output_handler"}),
        refused={
            "_add_request": "it takes a request past vLLM's validation; use add_request",
        },
        added=added(),
        # A copy, so that no call on it reaches the engine.
        copied={"vllm_config": copy.deepcopy},
        strict=True,
        # Plain methods that only read a field, or need the event loop.
        immediate=frozenset(
            {
                "_run_output_handler",
                "check_admission",
                "get_kv_event_sources",
                "get_num_queued_tokens",
                "get_num_unfinished_requests",
                "get_tokenizer",
            }
        ),
        translations=TRANSLATIONS,
        results=RESULTS,
        wrapped={"add_request": _collect},
        shutdown="shutdown",
        stop=stop_engine,
        watched=True,
        death=lambda engine: engine.dead_error if getattr(engine, "errored", False) else None,
        abort=abort,
        outputs=frozenset({"generate"}),
        inference=ENGINE_INFERENCE,
        unlimited=frozenset(
            {
                "abort",
                "check_health",
                "dead_error",
                "errored",
                "get_num_unfinished_requests",
                "is_paused",
                "is_running",
                "is_sleeping",
                "is_stopped",
                "resume_generation",
                "shutdown",
                "wake_up",
            }
        ),
    )


def added() -> dict[str, Callable[..., Any]]:
    """The methods that engines have here, and vLLM's servers have in their place."""
    chats, poolings = Chats(abort), Poolings(abort)
    return {
        "chat": chats.chat,
        "stream_chat": chats.stream_chat,
        "embed": poolings.embed,
        "classify": poolings.classify,
        "score": poolings.score,
        # The ``encode`` of vLLM's takes one prompt.
        "encode_batch": poolings.encode_batch,
        "kv_events": kv_events,
    }


def llm(builder: LLMBuilder) -> ServedClass:
    """VLLM's ``LLM``. Its plain methods run in the object's own thread, one after the other."""
    return ServedClass(
        name="LLM",
        constructors=Constructors(offline_arguments.CONSTRUCTORS, builder.build),
        only_declared=True,
        # The view of the model that Python prints.
        private=frozenset({"__repr__"}),
        strict=True,
        immediate=frozenset({"get_num_unfinished_requests"}),
        executor=lambda it: it._thread,
        progress=LLM_BATCHES,
        translations=offline_arguments.TRANSLATIONS,
        results=RESULTS,
        shutdown="shutdown",
        stop=stop_llm,
        watched=True,
        death=lambda it: it.dead_error if it.errored else None,
        inference=LLM_INFERENCE,
        unlimited=frozenset(
            {"dead_error", "errored", "get_num_unfinished_requests", "shutdown", "wake_up"}
        ),
    )


def stop_llm(it: Any) -> None:
    """Shut an LLM down. One that fails at it is killed with the worker's process group."""
    try:
        it._shut_down()
    except Exception:
        logger.exception("an LLM did not shut down; its processes will be killed")


def stop_engine(engine: Any) -> None:
    """Shut an engine down. One that fails at it is killed with the worker's process group."""
    try:
        engine.shutdown()
    except Exception:
        logger.exception("an engine did not shut down; its processes will be killed")


async def _build_engine(
    builder: Builder, method: str, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> object:
    """Import vLLM, check the arguments and construct, all in a thread."""
    return await builder.run(lambda engine_class: construct(engine_class, method, args, kwargs))


async def _collect(engine: Any, adding: Any) -> RequestOutputCollector:
    """Admit a request whose outputs are taken one by one."""
    return await collect(engine, adding, functools.partial(abort, engine))
