"""Adapters: loaded before their requests run, and never more in use than fit.

EngineCore loads adapters in the middle of a step, and whatever fails there ends the engine for
everybody. So a request's adapter is loaded before the request is sent, as a call of its own that
only raises (``lora_loading``), and three more things are kept away from the steps:

- two adapters of one name: of those a step loads one;
- adapters for which pinned ones leave no slot, which the scheduler overlooks;
- ids that do not fit the 64 bits they get there.

And vLLM finds a prompt's KV cache by the name and the folder of its adapter. Where a folder holds
other weights than before, that cache is of the old ones: so requests for it get a salt.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Coroutine, Iterator
from typing import Any

from typing_extensions import override

from python_worker.engines.guards import vllm_parts
from python_worker.engines.guards.lora_loading import (
    Adapters,
    PartlyUsed,
    VllmCalls,
    changed,
)
from python_worker.engines.guards.lora_usage import AdaptersInUse
from python_worker.engines.guards.protocols import (
    AsyncLLM,
    EngineCoreRequest,
    LoRARequest,
    RequestOutputCollector,
)
from python_worker.exceptions import InvalidArgument
from python_worker.process.adapter_loading import REPORT_METHOD

MAX_ID = 2**63 - 1


def loaded_adapters(engine: LoRAGuard) -> list[LoRARequest]:
    """The requests that an engine's adapters were loaded with."""
    return engine._adapters.loaded()


def adapter_named(engine: Any, name: str | None) -> Any:
    """The adapter of a name; None for the model itself.

    Raises:
        InvalidArgument: Neither is called so.
    """
    served = engine.model_config.served_model_name
    names = served if isinstance(served, list) else [served]
    if name is None or name in (*names, engine.model_config.model):
        return None
    adapters = {it.lora_name: it for it in loaded_adapters(engine)}
    if name in adapters:
        return adapters[name]
    raise InvalidArgument(
        f"model: there is no {name!r}; this engine has {', '.join([*names, *sorted(adapters)])}. "
        "An adapter is loaded with add_lora",
        parameter="model",
    )


class LoRAGuard(AsyncLLM):
    """Lets no adapter into a step that could end EngineCore."""

    @override
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        vllm = VllmCalls(
            add_lora=super().add_lora,
            remove_lora=super().remove_lora,
            pin_lora=super().pin_lora,
            list_loras=super().list_loras,
            reports=self._adapter_reports,
        )
        processes = self.vllm_config.parallel_config.world_size_across_dp
        self._adapters = Adapters(self, vllm, processes=processes)
        self._adapters_in_use = AdaptersInUse(self.output_processor)
        if self.vllm_config.lora_config is not None:
            self._send_to_core = self.engine_core.add_request_async
            self.engine_core.add_request_async = self._send_with_version

    @override
    def add_request(
        self,
        request_id: str,
        prompt: object,
        params: object,
        arrival_time: float | None = None,
        lora_request: LoRARequest | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> Coroutine[Any, Any, RequestOutputCollector]:
        # No coroutine of this guard's for requests without an adapter.
        if lora_request is None:
            return super().add_request(
                request_id, prompt, params, arrival_time, None, *args, **kwargs
            )
        add = functools.partial(super().add_request, request_id, prompt, params, arrival_time)
        return self._add_with_adapter(add, lora_request, *args, **kwargs)

    async def _add_with_adapter(
        self,
        add: Callable[..., Coroutine[Any, Any, RequestOutputCollector]],
        lora_request: LoRARequest,
        *args: Any,
        **kwargs: Any,
    ) -> RequestOutputCollector:
        self._check_name(lora_request)
        with self._adapters_in_use.arrival(lora_request):
            await self._check_room(lora_request)
            lora_request = await self._loaded(lora_request)
            return await add(lora_request, *args, **kwargs)

    @override
    async def add_lora(self, lora_request: LoRARequest) -> bool:
        self._check_id(lora_request.lora_int_id, "lora_request.lora_int_id")
        added, _ = await self._adapters.load(lora_request)
        return added

    @override
    async def remove_lora(self, lora_id: int) -> bool:
        self._check_id(lora_id, "lora_id")
        return await self._adapters.remove(lora_id)

    @override
    async def pin_lora(self, lora_id: int) -> bool:
        self._check_id(lora_id, "lora_id")
        return await self._adapters.pin(lora_id, functools.partial(self._check_pin, lora_id))

    @override
    async def list_loras(self) -> set[int]:
        self._slots()
        return await self._adapters.list_ids()

    def _take_partly_used(self) -> Iterator[PartlyUsed]:
        """See ``Adapters``: the worker asks for it ten times a second."""
        return self._adapters.take_partly_used()

    async def _adapter_reports(self, lora_id: int) -> object:
        # Not by the engine's ``collective_rpc``, which clients can call: its names are on a list.
        return await self.engine_core.collective_rpc_async(REPORT_METHOD, None, (lora_id,))

    async def _loaded(self, lora_request: LoRARequest) -> LoRARequest:
        """Load the adapter of a request: only EngineCore knows what it has put away meanwhile."""
        self._check_id(lora_request.lora_int_id, "lora_request.lora_int_id")
        _, lora_request = await self._adapters.load(lora_request)
        # With ``load_inplace`` vLLM would load it anew at every step.
        return changed(lora_request, load_inplace=False)

    async def _send_with_version(self, request: EngineCoreRequest) -> None:
        """In place of the client's ``add_request_async``."""
        if request.lora_request is not None:
            version = self._adapters.version(request.lora_request.lora_path)
            if version:
                request.cache_salt = f"{request.cache_salt or ''} adapter version {version}"
        await self._send_to_core(request)

    def _slots(self) -> int:
        """How many adapters a step can use."""
        config = self.vllm_config.lora_config
        if config is None:
            raise vllm_parts.adapter_invalid(
                "LoRA is not enabled: build the engine with enable_lora=True"
            )
        return config.max_loras

    def _check_id(self, lora_id: int, parameter: str) -> None:
        self._slots()
        if not 1 <= lora_id <= MAX_ID:
            raise vllm_parts.adapter_invalid(
                f"{parameter}: wants an id from 1 to {MAX_ID}, got {lora_id}"
            )

    def _check_name(self, lora_request: LoRARequest) -> None:
        self._slots()
        other = self._adapters_in_use.namesake(lora_request)
        if other is not None:
            raise vllm_parts.adapter_invalid(
                f"lora_request.lora_name: {lora_request.lora_name!r} is the name of adapter "
                f"{other} in a running request; adapter {lora_request.lora_int_id} wants a name "
                "of its own"
            )

    async def _fit(self, *more: int) -> bool:
        """Whether every step finds slots for its adapters beside the pinned ones and ``more``."""
        if self._fit_beside({*self._adapters.pinned, *more}):
            return True
        await self._adapters.drop_gone()
        return self._fit_beside({*self._adapters.pinned, *more})

    def _fit_beside(self, pinned: Collection[int]) -> bool:
        return self._adapters_in_use.fit(self._slots(), pinned)

    async def _check_room(self, lora_request: LoRARequest) -> None:
        if not await self._fit():
            raise vllm_parts.no_free_slot(
                f"lora_request: adapter {lora_request.lora_int_id} has to wait: "
                f"{len(self._adapters.pinned)} of {self._slots()} slots hold pinned adapters, "
                "and running requests need the others"
            )

    async def _check_pin(self, lora_id: int) -> None:
        if not await self._fit(lora_id):
            raise vllm_parts.no_free_slot(
                f"lora_id: pinning adapter {lora_id} would leave too few of the "
                f"{self._slots()} slots to the adapters of running requests"
            )
