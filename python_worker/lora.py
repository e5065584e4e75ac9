"""Adapters: loaded before their requests run, and never more in use than fit.

EngineCore loads adapters in the middle of a step, and whatever fails there
ends the engine for everybody. So a request's adapter is loaded before the
request is sent, as a call of its own that only raises, and four things are
kept away from the steps:

- an adapter that failed to fit the model's layers, which vLLM keeps and then
  takes for loaded;
- two adapters of one name: of those a step loads one;
- adapters for which pinned ones leave no slot, which the scheduler overlooks;
- ids that do not fit the 64 bits they get there.
"""

from __future__ import annotations

import asyncio
import functools
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

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
            # Of requests that EngineCore has not been sent yet.
            self._arriving: list[Any] = []

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
            with self._arrival(lora_request):
                if not self._fits(self._pinned):
                    # Reloading the model's weights drops all adapters, pinned ones too.
                    self._pinned &= await self.list_loras()
                if not self._fits(self._pinned):
                    raise NoFreeSlot(
                        f"lora_request: adapter {lora_request.lora_int_id} has to wait: "
                        f"{len(self._pinned)} of {self._slots()} slots hold pinned adapters, "
                        "and running requests need the others"
                    )
                lora_request = await self._resolved(lora_request)
                await self.add_lora(lora_request)
                # It is loaded anew by now; with this set vLLM would do so at every step.
                lora_request = msgspec.structs.replace(lora_request, load_inplace=False)
                return await base.add_request(
                    self, request_id, prompt, params, arrival_time, lora_request, *args, **kwargs
                )

        @functools.wraps(base.add_lora)
        async def add_lora(self: Any, lora_request: Any) -> Any:
            self._check_id(lora_request.lora_int_id, "lora_request.lora_int_id")
            lora_request = await self._resolved(lora_request)
            try:
                added = await base.add_lora(self, lora_request)
            except Exception as error:
                if type(error) is not Exception:
                    raise
                # Weights that do not fit fail after they were registered. vLLM would answer True
                # the next time, use half of them, and die of them once they left their slot.
                # A reload that failed earlier has left the old adapter as it was.
                if not lora_request.load_inplace or "size of tensor" in str(error):
                    await self.remove_lora(lora_request.lora_int_id)
                doing = f"adapter {lora_request.lora_name!r} in {lora_request.lora_path}"
                raise explained(error, f"{doing} cannot be loaded") from None
            if lora_request.load_inplace:
                # vLLM removes the old one, and with it the pin.
                self._pinned.discard(lora_request.lora_int_id)
            return added

        @functools.wraps(base.remove_lora)
        async def remove_lora(self, lora_id: int) -> Any:
            self._check_id(lora_id)
            removed = await base.remove_lora(self, lora_id)
            self._pinned.discard(lora_id)
            return removed

        @functools.wraps(base.pin_lora)
        async def pin_lora(self: Any, lora_id: int) -> Any:
            self._check_id(lora_id)
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

        @functools.wraps(base.list_loras)
        async def list_loras(self) -> set[int]:
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

        def _in_use(self) -> Iterator[Any]:
            """The adapters of all requests that have not ended."""
            yield from self._arriving
            for state in self.output_processor.request_states.values():
                if state.lora_request is not None:
                    yield state.lora_request

        def _fits(self, pinned: set[int]) -> bool:
            """Whether any step finds slots for its adapters beside the pinned ones."""
            slots = self._slots()
            return not pinned or len({*pinned, *(it.lora_int_id for it in self._in_use())}) <= slots

        @contextmanager
        def _arrival(self, lora_request: Any) -> Iterator[None]:
            self._slots()
            for other in self._in_use():
                if (
                    other.lora_name == lora_request.lora_name
                    and other.lora_int_id != lora_request.lora_int_id
                ):
                    raise refused(
                        f"lora_request.lora_name: {lora_request.lora_name!r} is the name of "
                        f"adapter {other.lora_int_id} in a running request; adapter "
                        f"{lora_request.lora_int_id} wants a name of its own"
                    )
            self._arriving.append(lora_request)
            try:
                yield
            finally:
                # By identity: to vLLM two adapters of one name are equal.
                self._arriving = [it for it in self._arriving if it is not lora_request]

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
