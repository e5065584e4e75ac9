"""Imports vLLM's ``LLM``, guards it, and builds objects of it, each in a thread of its own."""

from __future__ import annotations

import asyncio
import functools
import gc
from collections.abc import Mapping, Sequence
from typing import Any

from python_worker.engines.builder import Builder, import_class, naming_libraries
from python_worker.engines.guards.guarded import compose
from python_worker.exceptions import NotServed
from python_worker.offline import vllm_parts
from python_worker.offline.arguments import construct
from python_worker.offline.coroutines import NAME
from python_worker.offline.engine_guard import LLMEngineGuard
from python_worker.offline.llm_guard import BatchGuard, LLMGuard
from python_worker.offline.llm_thread import Job, LLMThread
from python_worker.process import cpu_share

# Each is named, also the base class of another: ``compose`` looks at what each declares itself.
GUARDS: tuple[type, ...] = (LLMGuard, BatchGuard)

# A class that is not vLLM's is not in the danger that vLLM's is.
FOREIGN_GUARDS: tuple[type, ...] = (BatchGuard,)


class LLMBuilder:
    """Builds the objects of one worker.

    Args:
        builder: Knows whether the worker serves vLLM's classes or those of somebody else.
    """

    def __init__(self, builder: Builder) -> None:
        self._builder = builder

    @functools.cached_property
    def llm_class(self) -> Any:
        """The class that is served as ``LLM``; the first use imports it."""
        # The engine class of a user may name an LLM of its own.
        path = getattr(self._builder.engine_class, "offline_class", None)
        if self._builder.serves_vllm:
            llm = vllm_parts.import_llm(LLMEngineGuard)
            return compose(llm if path is None else import_class(path), GUARDS, name=NAME)
        if path is None:
            raise NotServed(
                "this worker has no LLM: its --engine-class names none in `offline_class`"
            )
        return compose(import_class(path), FOREIGN_GUARDS, name=NAME)

    async def build(self, method: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> object:
        """Check the arguments of a constructor and make an object.

        One that nobody waits for any more is shut down as soon as it is built.
        """
        thread = LLMThread()
        job = thread.submit(self._construct, thread, method, args, kwargs)
        try:
            return await asyncio.wrap_future(job)
        except asyncio.CancelledError:
            # In a thread: it may be over already, and shutting down takes seconds.
            asyncio.get_running_loop().run_in_executor(None, _discard, job)
            raise
        except BaseException:
            thread.shutdown(wait=False)
            raise

    def _construct(
        self, thread: LLMThread, method: str, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Any:
        with naming_libraries(), cpu_share.raised():
            llm = construct(self.llm_class, method, args, kwargs)
        llm._thread = thread
        gc.freeze()  # As ``engines.builder`` does.
        return llm


def _discard(job: Job) -> None:
    """Shut down what a job makes, if it makes something."""
    if job.exception() is None:
        job.result()._shut_down()
