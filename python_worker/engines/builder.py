"""Imports vLLM's AsyncLLM and builds engines of its guarded subclass (``guards.guarded``).

Read this package in this order: ``builder``, ``constructors`` (the arguments that no client can
send), ``guards`` (what keeps EngineCore alive), ``results`` (what methods return), ``collector``
(the outputs of ``add_request``), ``core_calls``, ``metrics``, ``prometheus_series``,
``stall_detector``, ``core_client`` (what is changed in vLLM's client of EngineCore) and
``abandonment`` (builds that nobody waits for). vLLM is not imported before the first engine is
asked for.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import importlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from python_worker.engines import core_client
from python_worker.engines.abandonment import CURRENT, Abandonment
from python_worker.engines.guards.guarded import guard_foreign, guard_vllm
from python_worker.exceptions import NotServed, Unsupported
from python_worker.process import cpu_share, fork_server, run_folder
from python_worker.settings import Settings, TokenPathSetting
from python_worker.streaming.token_tap import tap_of

ASYNC_LLM_MODULE = "vllm.v1.engine.async_llm"

# What ``AsyncLLM(...)`` is called by, as a method.
NEW = "new"

CONSTRUCTORS = frozenset({NEW, "from_engine_args", "from_vllm_config"})

# Engines that load at the same time. Their threads live as long as the worker:
# vLLM's children are killed when the *thread* that made them ends.
MAX_LOADING = 8

# How vLLM starts its processes.
METHOD = "VLLM_WORKER_MULTIPROC_METHOD"

ENVIRONMENT: Mapping[str, str] = {
    # stdout carried the ready line; a library's log has no place on it.
    "VLLM_LOGGING_STREAM": "ext://sys.stderr",
    # A fork of the worker would inherit gRPC's threads in an undefined state, and the listening
    # socket with them. What is spawned for vLLM is a fork of the fork server: see ``fork_server``.
    METHOD: "spawn",
    # vLLM begins all completions of a request in one turn of the loop: 16,384, its own limit, keep
    # all clients waiting for a second.
    "VLLM_MAX_N_SEQUENCES": "512",
    # A host that an engine may load images from could send it to any other.
    "VLLM_MEDIA_URL_ALLOW_REDIRECTS": "0",
    # vLLM would try a host that does not answer three times, which takes two minutes.
    "VLLM_MEDIA_FETCH_MAX_RETRIES": "1",
}


class Builder:
    """Loads the engine class and builds engines, both in threads.

    Args:
        path: ``module:Class`` in place of vLLM's AsyncLLM.
        token_path: See ``Settings``.
        stall_after: See ``Settings``.
    """

    def __init__(
        self,
        path: str | None = None,
        *,
        token_path: TokenPathSetting = Settings.token_path,
        stall_after: float = Settings.stall_after,
    ) -> None:
        self._path = path
        self._token_path = token_path
        self._stall_after = stall_after
        self._threads = ThreadPoolExecutor(MAX_LOADING, thread_name_prefix="engine")

    @functools.cached_property
    def engine_class(self) -> Any:
        """The class that is served as ``AsyncLLM``; the first use imports it."""
        guard = guard_foreign
        if self.serves_vllm:
            guard = guard_vllm
            core_client.change(self._stall_after)
        return guard(self._base, token_path=self._token_path)

    @functools.cached_property
    def _base(self) -> Any:
        return import_async_llm() if self._path is None else import_class(self._path)

    @property
    def serves_vllm(self) -> bool:
        """Whether the class is vLLM's, or a subclass of it: that is in the same danger."""
        return any(cls.__module__ == ASYNC_LLM_MODULE for cls in self._base.__mro__)

    async def run(self, build: Callable[[Any], object]) -> object:
        """Call ``build`` with the engine class in a thread that stays.

        Building ends early when nobody waits for it any more; see ``abandonment``. An engine that
        is built by then is shut down.
        """
        abandonment = Abandonment()
        future = self._threads.submit(self._build, build, abandonment)
        future.add_done_callback(lambda _: abandonment.close())
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            if not future.cancel():
                abandonment.give_up()
                # In a thread as well: shutting down takes seconds, and this
                # runs on the loop where the engine is built already.
                self._threads.submit(_discard, future)
            raise

    async def load(self, make: Callable[[Any], object]) -> object:
        """Call ``make`` with the engine class in a thread; it makes no engine."""
        future = self._threads.submit(self._make, make)
        return await asyncio.wrap_future(future)

    def _make(self, make: Callable[[Any], object]) -> object:
        with cpu_share.raised():
            return make(self.engine_class)

    def _build(self, build: Callable[[Any], object], abandonment: Abandonment) -> object:
        current = CURRENT.set(abandonment)
        try:
            with naming_libraries():
                engine = self._make(build)
        finally:
            CURRENT.reset(current)
        # torch and vLLM are a million objects that stay. Unfrozen, the garbage
        # collector walks them again and again: 11 % of the worker's time at 256
        # streams. vLLM's own servers do the same after they have started.
        gc.freeze()
        # Decided now, in this thread, because it reads sources; not while the first stream runs.
        tap_of(engine)
        return engine


@contextmanager
def naming_libraries() -> Iterator[None]:
    """Building an engine: a library that its model needs and that is not there is told as such.

    Raises:
        Unsupported: It is missing.
    """
    try:
        yield
    except ImportError as error:
        raise Unsupported(
            f"this worker lacks what the engine needs: {str(error).strip()}\nRun `mix vllm.setup`; "
            "`mix vllm.doctor --deep` says what is there"
        ) from error


def _discard(future: Future[Any]) -> None:
    if future.exception() is None:
        future.result().shutdown()


def import_class(path: str) -> Any:
    """The class that ``--engine-class`` names.

    Raises:
        NotServed: There is no such module, or no such class in it.
    """
    module, _, name = path.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise NotServed(f"--engine-class {path}: {error}") from error


def import_async_llm() -> Any:
    """Import vLLM and return its ``AsyncLLM``."""
    return import_vllm(ASYNC_LLM_MODULE, "AsyncLLM")


@functools.cache
def prepare_import() -> None:
    """Set what vLLM reads when it is imported, and have it fork its processes.

    An operator who sets vLLM's own variable for the method has it as it says.
    """
    folder = os.environ.get(run_folder.FOLDER_VARIABLE)
    if folder is not None and METHOD not in os.environ:
        fork_server.SERVER.install(Path(folder))
    for variable, value in ENVIRONMENT.items():
        os.environ.setdefault(variable, value)


def import_vllm(module: str, name: str) -> Any:
    """Import vLLM and return one of its classes; importing it takes 6 to 9 s.

    Raises:
        NotServed: It is not there, or what it needs is not.
    """
    prepare_import()
    try:
        return getattr(importlib.import_module(module), name)
    except ImportError as error:
        raise NotServed(
            f"vLLM cannot be imported by {sys.executable}: {error}; `mix vllm.setup` makes an "
            "environment that has it, `mix vllm.doctor --deep` says what is wrong with this one"
        ) from error


async def abort(engine: Any, request_ids: Iterable[str]) -> None:
    """Abort requests by the engine's own ids, those it knows no more included."""
    await engine.abort(list(request_ids), internal=True)
