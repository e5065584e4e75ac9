"""Loads, pins and removes the adapters of one engine, so that a step finds each as it should be.

- A load that fails is undone in the process that has the model (``process.adapter_loading``), so
  an id keeps what it stood for. Where several processes have parts of the model, or copies, some
  may have loaded what others have not: there the adapter is removed from all, before anybody else
  gets at its id, also where the caller has left.
- vLLM goes by the id of an adapter while that is loaded, and by the path once it is not. A path
  that has never been read must reach no step, which may have to load it again.
- Calls about one id run one after the other.
"""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import functools
import logging
import os
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar
from weakref import WeakValueDictionary

from python_worker import core_errors
from python_worker.core_errors import Meaning
from python_worker.engines.core_calls import CoreCalls, Mortal
from python_worker.engines.guards import vllm_parts
from python_worker.engines.guards.protocols import LoRARequest
from python_worker.process.adapter_loading import AS_BEFORE

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

MAX_UNTOLD = 1000
"""How many adapters that are used in part wait at most for somebody to be told."""


@dataclasses.dataclass(frozen=True)
class PartlyUsed:
    """An adapter that was loaded and of which a part has no effect.

    Attributes:
        lora_request: What it was loaded with.
        names: Of the parts, and of what the model takes, by the fields of ``AdapterPartlyUsed``.
    """

    lora_request: LoRARequest
    names: Mapping[str, Sequence[str]]


@dataclasses.dataclass(frozen=True)
class VllmCalls:
    """The methods of vLLM's that change adapters, without a guard."""

    add_lora: Callable[[LoRARequest], Awaitable[bool]]
    remove_lora: Callable[[int], Awaitable[bool]]
    pin_lora: Callable[[int], Awaitable[bool]]
    list_loras: Callable[[], Awaitable[Iterable[int]]]
    # From each process that has the model, or a part of it: a report, or None.
    reports: Callable[[int], Awaitable[object]]


class Adapters:
    """The adapters that one engine has loaded.

    Its calls go on to the end even where the caller leaves, because EngineCore does too.

    Args:
        engine: The engine.
        vllm: Its own methods.
        processes: How many processes have its model, or a part of it.

    Attributes:
        pinned: The ids of pinned adapters. Reloading the model's weights drops all adapters
            without telling, so there may be fewer; see ``drop_gone``.
    """

    def __init__(self, engine: Mortal, vllm: VllmCalls, *, processes: int = 1) -> None:
        self.pinned: set[int] = set()
        self._engine = engine
        self._vllm = vllm
        self._processes = processes
        self._calls = CoreCalls()
        # A lock for each id that a call is about.
        self._locks: WeakValueDictionary[int, asyncio.Lock] = WeakValueDictionary()
        # Running loads that others may join, by all fields of their requests.
        self._loads: dict[tuple[object, ...], asyncio.Task[tuple[bool, LoRARequest]]] = {}
        # With which request an id was loaded, if it still is.
        self._loaded: dict[int, LoRARequest] = {}
        # How often what a folder held was replaced or removed; only those where it was.
        self._versions: Counter[str] = Counter()
        self._partly_used: deque[PartlyUsed] = deque(maxlen=MAX_UNTOLD)

    async def list_ids(self) -> set[int]:
        """The ids of loaded adapters."""
        # On the way between the processes the set became a list.
        return set(await self._vllm.list_loras())

    def version(self, lora_path: str) -> int:
        """How often an adapter of this folder was replaced or removed: it may hold another now."""
        return self._versions[lora_path]

    def loaded(self) -> list[LoRARequest]:
        """With which requests the adapters were loaded that vLLM has not dropped by itself."""
        return list(self._loaded.values())

    def take_partly_used(self) -> Iterator[PartlyUsed]:
        """The adapters that are used in part and of which nobody has been told; from any thread."""
        while self._partly_used:
            yield self._partly_used.popleft()

    async def drop_gone(self) -> None:
        """Forget the pins of adapters that are not loaded any more."""
        self.pinned &= await self.list_ids()

    async def load(self, lora_request: LoRARequest) -> tuple[bool, LoRARequest]:
        """Load an adapter.

        Returns:
            What vLLM answers to ``add_lora``, and the request for what is loaded.
        """
        lora_request = await with_absolute_path(lora_request)
        key = fields(lora_request)
        load = self._loads.get(key)
        if load is None:
            work = functools.partial(self._load_now, key, lora_request)
            load = self._in_turn(lora_request.lora_int_id, work)
            # A load that replaces what is loaded is meant each time.
            if not lora_request.load_inplace:
                self._loads[key] = load
        try:
            return await asyncio.shield(load)
        except Exception as error:
            doing = f"adapter {lora_request.lora_name!r} in {lora_request.lora_path}"
            raise explained(error, f"{doing} cannot be loaded") from None

    async def remove(self, lora_id: int) -> bool:
        """Remove an adapter; returns what vLLM answers."""
        return await asyncio.shield(
            self._in_turn(lora_id, functools.partial(self._remove_now, lora_id))
        )

    async def pin(self, lora_id: int, check_room: Callable[[], Awaitable[None]]) -> bool:
        """Pin an adapter.

        Args:
            lora_id: Its id.
            check_room: Called when no other call about the id runs; raises where the pin would
                leave too few slots.
        """
        work = functools.partial(self._pin_now, lora_id, check_room)
        return await asyncio.shield(self._in_turn(lora_id, work))

    def _in_turn(self, lora_id: int, work: Callable[[], Awaitable[Result]]) -> asyncio.Task[Result]:
        """Begin work about an id, which runs to its end, and while no other work on the id does."""

        async def in_turn() -> Result:
            async with self._locks.setdefault(lora_id, asyncio.Lock()):
                return await work()

        return self._calls.begin(self._engine, in_turn())

    async def _load_now(
        self, key: tuple[object, ...], lora_request: LoRARequest
    ) -> tuple[bool, LoRARequest]:
        lora_id = lora_request.lora_int_id
        try:
            lora_request = await self._as_loaded(lora_request)
            added = await self._vllm.add_lora(lora_request)
        except Exception as error:
            if leaves_adapter(error, self._processes):
                await self._remove_now(lora_id)
            raise
        finally:
            # Before another call has its turn: nobody may join a load that it has overtaken.
            self._loads.pop(key, None)
        if lora_request.load_inplace:
            # vLLM removes the old one, and with it the pin.
            self.pinned.discard(lora_id)
            self._versions[lora_request.lora_path] += 1
        before = self._loaded.get(lora_id)
        self._loaded[lora_id] = lora_request
        # Each request with an adapter loads it: a question to EngineCore for each would cost time.
        if lora_request.load_inplace or before is None or fields(before) != fields(lora_request):
            await self._look_for_unused(lora_request)
        return added, lora_request

    async def _look_for_unused(self, lora_request: LoRARequest) -> None:
        try:
            reports = await self._vllm.reports(lora_request.lora_int_id)
        except Exception as error:
            # The adapter is loaded all the same.
            logger.warning("what of an adapter is not used cannot be told: %s", error)
            return
        names = merged(reports)
        if names:
            self._partly_used.append(PartlyUsed(lora_request, names))

    async def _as_loaded(self, lora_request: LoRARequest) -> LoRARequest:
        """The request for the adapter that its id stands for."""
        loaded = self._loaded.get(lora_request.lora_int_id)
        if loaded is None or lora_request.load_inplace:
            return lora_request
        as_loaded = changed(
            lora_request,
            lora_path=loaded.lora_path,
            is_3d_lora_weight=loaded.is_3d_lora_weight,
        )
        same = fields(as_loaded) == fields(lora_request)
        if same or lora_request.lora_int_id not in await self.list_ids():
            return lora_request
        return as_loaded

    async def _remove_now(self, lora_id: int) -> bool:
        removed = await self._vllm.remove_lora(lora_id)
        self.pinned.discard(lora_id)
        loaded = self._loaded.pop(lora_id, None)
        if loaded is not None:
            self._versions[loaded.lora_path] += 1
        return removed

    async def _pin_now(self, lora_id: int, check_room: Callable[[], Awaitable[None]]) -> bool:
        await check_room()
        was_pinned = lora_id in self.pinned
        # Before EngineCore has done it, so that no request takes the slot meanwhile.
        self.pinned.add(lora_id)
        try:
            return await self._vllm.pin_lora(lora_id)
        except Exception as error:
            if not was_pinned:
                self.pinned.discard(lora_id)
            raise explained(error, f"adapter {lora_id} cannot be pinned") from None


def leaves_adapter(error: Exception, processes: int) -> bool:
    """Whether a load that failed may have left an adapter that vLLM takes for loaded.

    Args:
        error: What the load raised.
        processes: How many have the model, or a part of it.
    """
    # EngineCore's own errors have no other class. Others have not reached it, or it is dead.
    return type(error) is Exception and (processes > 1 or AS_BEFORE not in str(error))


def explained(error: Exception, what: str) -> Exception:
    """The error for what EngineCore said about an adapter; any other error as it is.

    Args:
        error: What a call of vLLM's raised.
        what: What could not be done, as the beginning of the message.
    """
    text = core_errors.said(error)
    if text is None:
        return error
    message = f"{what}: {text.removesuffix(f'; {AS_BEFORE}')}"
    if core_errors.means(error, Meaning.ADAPTER_NOT_FOUND):
        return vllm_parts.adapter_not_found(message)
    if core_errors.means(error, Meaning.NO_FREE_SLOT):
        return vllm_parts.no_free_slot(message)
    return vllm_parts.adapter_invalid(message)


async def with_absolute_path(lora_request: LoRARequest) -> LoRARequest:
    """The request with an absolute path.

    A path that is none may be a name on a hub. Looked up in EngineCore it would hold up every
    request until the network has answered.
    """
    path = lora_request.lora_path
    if os.path.isabs(path):
        return lora_request
    found = await asyncio.to_thread(vllm_parts.find_adapter_folder, path)
    if found is None:
        raise vllm_parts.adapter_path_not_found(lora_request.lora_name, path)
    return changed(lora_request, lora_path=found)


def merged(reports: object) -> dict[str, list[str]]:
    """The reports of several processes as one; empty where there is nothing to tell."""
    names: dict[str, list[str]] = {}
    for report in reports if isinstance(reports, (list, tuple)) else ():
        for part, found in report.items() if isinstance(report, dict) else ():
            names[part] = sorted({*names.get(part, ()), *found})
    return names


def fields(lora_request: LoRARequest) -> tuple[object, ...]:
    """All that a request says; ``==`` compares names only."""
    return tuple(getattr(lora_request, name) for name in lora_request.__struct_fields__)


def changed(lora_request: LoRARequest, **values: object) -> LoRARequest:
    """A copy with some fields changed."""
    made = copy.copy(lora_request)
    for name, value in values.items():
        setattr(made, name, value)
    return made
