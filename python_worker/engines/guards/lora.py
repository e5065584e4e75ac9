"""Adapters: loaded before their requests run, and never more in use than fit.

EngineCore loads adapters in the middle of a step, and whatever fails there
ends the engine for everybody. So a request's adapter is loaded before the
request is sent, as a call of its own that only raises, and five things are
kept away from the steps:

- an adapter that failed to fit the model's layers, which vLLM keeps and then
  takes for loaded: until it is removed, and whoever has left meanwhile, nobody
  else asks for its id;
- the path of an adapter that was never read, because its id was loaded from
  another one: a step may have to load it again;
- two adapters of one name: of those a step loads one;
- adapters for which pinned ones leave no slot, which the scheduler overlooks;
- ids that do not fit the 64 bits they get there.
"""

from __future__ import annotations

import asyncio
import functools
import os
import re
from collections.abc import Awaitable, Callable
from typing import Any
from weakref import WeakValueDictionary

from python_worker.engines.core_calls import CoreCalls
from python_worker.engines.guards.lora_usage import AdaptersInUse

MAX_ID = 2**63 - 1

#: Around what a worker process of vLLM said; its class is lost on the way.
_SAID = re.compile(
    r"Call to \w+ method failed: (?:Worker failed with error '(?P<worker>.*)', please check"
    r" the stack trace above for the root cause|(?P<core>.*))",
    re.DOTALL,
)


def adapting(base: Any) -> Any:
    """A subclass whose adapters cannot end EngineCore."""
    import msgspec
    from vllm.exceptions import (
        LoRAAdapterNotFoundError,
        QueueOverflowError,
        VLLMNotFoundError,
        VLLMValidationError,
    )
    from vllm.lora.utils import get_adapter_absolute_path

    class NoFreeSlot(QueueOverflowError):  # type: ignore[misc]
        """Pinned adapters leave no room for another one just now."""

        def __init__(self, message: str) -> None:
            super().__init__()
            self.args = (message,)

    def refused(message: str) -> Exception:
        return VLLMValidationError(message, parameter="lora_request")  # type: ignore[no-any-return]

    def explained(error: Exception, doing: str) -> Exception:
        """What EngineCore said, as whose fault it was."""
        said = _SAID.fullmatch(str(error))
        if type(error) is not Exception or said is None:
            return error
        text = said["worker"] or said["core"]
        if "No adapter found" in text or "not registered" in text:
            return VLLMNotFoundError(f"{doing}: {text}")  # type: ignore[no-any-return]
        if "are pinned" in text or "No free lora slots" in text:
            return NoFreeSlot(f"{doing}: {text}")
        return refused(f"{doing}: {text}")

    def found_folder(path: str) -> str | None:
        try:
            found = get_adapter_absolute_path(path)
        except (OSError, ValueError):
            return None
        return os.path.abspath(found) if os.path.isdir(found) else None

    class Adapting(base):  # type: ignore[misc]
        @functools.wraps(base.__init__)  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self._pinned: set[int] = set()
            self._adapters = AdaptersInUse(self.output_processor)
            self._adapter_calls = CoreCalls()
            # One for each id that a call is about.
            self._turns: WeakValueDictionary[int, asyncio.Lock] = WeakValueDictionary()
            # Running loads that others may join, by all fields of their requests.
            self._loads: dict[tuple[Any, ...], asyncio.Task[Any]] = {}
            # As what an id was loaded, if it still is.
            self._loaded: dict[int, Any] = {}

        @functools.wraps(base.add_request)
        async def add_request(
            self: Any,
            request_id: str,
            prompt: Any,
            params: Any,
            arrival_time: float | None = None,
            lora_request: Any = None,
            *args: Any,
            **kwargs: Any,
        ) -> Any:
            if lora_request is None:
                return await base.add_request(
                    self, request_id, prompt, params, arrival_time, None, *args, **kwargs
                )
            self._check_name(lora_request)
            with self._adapters.arrival(lora_request):
                if not self._fits(self._pinned):
                    # Reloading the model's weights drops all adapters, pinned ones too.
                    self._pinned &= await self.list_loras()
                if not self._fits(self._pinned):
                    raise NoFreeSlot(
                        f"lora_request: adapter {lora_request.lora_int_id} has to wait: "
                        f"{len(self._pinned)} of {self._slots()} slots hold pinned adapters, "
                        "and running requests need the others"
                    )
                # A call each time: only EngineCore knows what it has put away meanwhile.
                _, lora_request = await self._load(lora_request)
                # It is loaded anew by now; with this set vLLM would do so at every step.
                lora_request = msgspec.structs.replace(lora_request, load_inplace=False)
                return await base.add_request(
                    self, request_id, prompt, params, arrival_time, lora_request, *args, **kwargs
                )

        @functools.wraps(base.add_lora)
        async def add_lora(self: Any, lora_request: Any) -> Any:
            added, _ = await self._load(lora_request)
            return added

        @functools.wraps(base.remove_lora)
        async def remove_lora(self: Any, lora_id: int) -> Any:
            self._check_id(lora_id)
            remove = functools.partial(self._remove, lora_id)
            return await asyncio.shield(self._in_turn(lora_id, remove))

        @functools.wraps(base.pin_lora)
        async def pin_lora(self: Any, lora_id: int) -> Any:
            self._check_id(lora_id)
            pin = functools.partial(self._pin, lora_id)
            return await asyncio.shield(self._in_turn(lora_id, pin))

        @functools.wraps(base.list_loras)
        async def list_loras(self: Any) -> set[int]:
            self._slots()
            # On the way between the processes the set became a list.
            return set(await base.list_loras(self))

        def _slots(self) -> int:
            """How many adapters a step can use."""
            config = self.vllm_config.lora_config
            if config is None:
                raise refused("LoRA is not enabled: build the engine with enable_lora=True")
            return int(config.max_loras)

        def _check_id(self, lora_id: int, parameter: str = "lora_id") -> None:
            self._slots()
            if not 1 <= lora_id <= MAX_ID:
                raise refused(f"{parameter}: wants an id from 1 to {MAX_ID}, got {lora_id}")

        def _check_name(self, lora_request: Any) -> None:
            self._slots()
            other = self._adapters.namesake(lora_request)
            if other is not None:
                raise refused(
                    f"lora_request.lora_name: {lora_request.lora_name!r} is the name of "
                    f"adapter {other} in a running request; adapter "
                    f"{lora_request.lora_int_id} wants a name of its own"
                )

        def _fits(self, pinned: set[int]) -> bool:
            return self._adapters.fit(self._slots(), pinned)

        def _in_turn(self, lora_id: int, work: Callable[[], Awaitable[Any]]) -> asyncio.Task[Any]:
            """Begin what changes an adapter: to its end, and while no other call does."""

            async def in_turn() -> Any:
                async with self._turns.setdefault(lora_id, asyncio.Lock()):
                    return await work()

            return self._adapter_calls.begin(self, in_turn())

        async def _load(self, lora_request: Any) -> tuple[Any, Any]:
            """What vLLM answers to ``add_lora``, and the request for what is loaded."""
            self._check_id(lora_request.lora_int_id, "lora_request.lora_int_id")
            lora_request = await self._resolved(lora_request)
            key = msgspec.structs.astuple(lora_request)
            load = self._loads.get(key)
            if load is None:
                work = functools.partial(self._load_now, key, lora_request)
                load = self._in_turn(lora_request.lora_int_id, work)
                # One that replaces what is loaded is meant each time.
                if not lora_request.load_inplace:
                    self._loads[key] = load
            try:
                return await asyncio.shield(load)
            except Exception as error:
                doing = f"adapter {lora_request.lora_name!r} in {lora_request.lora_path}"
                raise explained(error, f"{doing} cannot be loaded") from None

        async def _load_now(self: Any, key: tuple[Any, ...], lora_request: Any) -> tuple[Any, Any]:
            lora_id = lora_request.lora_int_id
            try:
                lora_request = await self._as_loaded(lora_request)
                added = await base.add_lora(self, lora_request)
            except Exception as error:
                # Weights that do not fit fail after they were registered. vLLM would answer True
                # the next time, use half of them, and die of them once they left their slot.
                # A reload that failed earlier has left the old adapter as it was.
                if type(error) is Exception and (
                    not lora_request.load_inplace or "size of tensor" in str(error)
                ):
                    await self._remove(lora_id)
                raise
            finally:
                # Before another call has its turn: what that one does, no joiner would know of.
                self._loads.pop(key, None)
            if lora_request.load_inplace:
                # vLLM removes the old one, and with it the pin.
                self._pinned.discard(lora_id)
            self._loaded[lora_id] = lora_request
            return added, lora_request

        async def _as_loaded(self: Any, lora_request: Any) -> Any:
            """The request for the adapter that its id stands for.

            vLLM goes by the id alone while that is loaded, and by the path once it
            is not: where that has never been read, it may be the end of a step.
            """
            loaded = self._loaded.get(lora_request.lora_int_id)
            if loaded is None or lora_request.load_inplace:
                return lora_request
            source = {name: getattr(loaded, name) for name in ("lora_path", "is_3d_lora_weight")}
            as_loaded = msgspec.structs.replace(lora_request, **source)
            same = msgspec.structs.astuple(as_loaded) == msgspec.structs.astuple(lora_request)
            if same or lora_request.lora_int_id not in await self.list_loras():
                return lora_request
            return as_loaded

        async def _remove(self, lora_id: int) -> Any:
            removed = await base.remove_lora(self, lora_id)
            self._pinned.discard(lora_id)
            self._loaded.pop(lora_id, None)
            return removed

        async def _pin(self: Any, lora_id: int) -> Any:
            if not self._fits({*self._pinned, lora_id}):
                self._pinned &= await self.list_loras()
            if not self._fits({*self._pinned, lora_id}):
                raise NoFreeSlot(
                    f"lora_id: pinning adapter {lora_id} would leave too few of the "
                    f"{self._slots()} slots to the adapters of running requests"
                )
            before = lora_id in self._pinned
            self._pinned.add(lora_id)
            try:
                return await base.pin_lora(self, lora_id)
            except Exception as error:
                if not before:
                    self._pinned.discard(lora_id)
                raise explained(error, f"adapter {lora_id} cannot be pinned") from None

        async def _resolved(self, lora_request: Any) -> Any:
            """The request with an absolute path.

            A path that is none may be a name on a hub. Looked up in EngineCore
            it would hold up every request until the network has answered.
            """
            path = lora_request.lora_path
            if os.path.isabs(path):
                return lora_request
            found = await asyncio.to_thread(found_folder, path)
            if found is None:
                raise LoRAAdapterNotFoundError(lora_request.lora_name, path)
            return msgspec.structs.replace(lora_request, lora_path=found)

    Adapting.__name__ = Adapting.__qualname__ = "AsyncLLM"
    return Adapting
