"""The rest of an engine's methods: what a plain engine on a CPU answers or refuses.

The fake engine is one without data parallelism, weight transfer and profiler; its messages are
vLLM's own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from python_worker.testing.fake_engine.utilities import Utilities
from python_worker.testing.fake_vllm.errors import ProfilerAlreadyActiveError, QueueOverflowError

NO_TRANSFER = (
    "Weight transfer not configured. Please set weight_transfer_config to enable weight transfer."
)


@dataclass
class WeightTransferInitRequest:
    """How a trainer is reached."""

    init_info: dict[str, Any] = field(default_factory=dict)


@dataclass
class WeightTransferUpdateRequest:
    """What a trainer sends."""

    update_info: dict[str, Any] | list[dict[str, Any]] = field(default_factory=dict)


@dataclass
class FaultToleranceRequest:
    """What to do about a fault."""

    instruction: str
    params: dict[str, Any]
    request_id: str = ""


class Members(Utilities):
    """Methods that an engine has and few clients call."""

    _weight_version = "default"
    _profiling = False

    # --- Admission ---

    def check_admission(self, n: int = 1, request_id: str | None = None) -> None:
        """Raises if ``max_num_queued_reqs`` would be exceeded."""
        self._note("check_admission", n, request_id)
        self._admit(n)

    def _admit(self, n: int) -> None:
        limit = self.engine_args.max_num_queued_reqs
        if limit is not None and self._count_requests() + n > limit:
            raise QueueOverflowError

    def get_num_queued_tokens(self) -> int:
        """Returns 0: prompts take no time here."""
        return 0

    async def wait_for_requests_to_drain(self, drain_timeout: int = 300) -> None:
        """Returns at once, as vLLM does without data parallelism."""
        await self._enter("wait_for_requests_to_drain", drain_timeout)

    async def scale_elastic_ep(self, new_data_parallel_size: int, drain_timeout: int = 300) -> None:
        """Raises unless the size stays."""
        await self._enter("scale_elastic_ep", new_data_parallel_size, drain_timeout)
        if new_data_parallel_size != self.engine_args.data_parallel_size:
            raise NotImplementedError

    async def get_status(self) -> dict[str, Any]:
        """Returns what vLLM says of an engine without fault tolerance."""
        await self._enter("get_status")
        return {"schema_version": 1, "total_engines": 1, "engines": []}

    async def handle_fault(self, fault_tolerance_request: FaultToleranceRequest) -> None:
        """Raises: vLLM's would hang."""
        await self._utility("handle_fault", fault_tolerance_request)
        raise NotImplementedError("handle_fault needs an engine with fault tolerance")

    async def notify_kv_transfer_request_rejected(
        self,
        request_id: str,
        kv_transfer_params: dict[str, Any],
        *,
        data_parallel_rank: int | None = None,
    ) -> None:
        """Does nothing."""
        await self._utility("notify_kv_transfer_request_rejected", request_id, kv_transfer_params)

    def get_kv_event_sources(self) -> dict[int, Any]:
        """Returns none."""
        self._note("get_kv_event_sources")
        return {}

    # --- Weights and memory ---

    async def release_kv_cache_memory(self) -> None:
        """Raises unless paused."""
        await self._utility("release_kv_cache_memory")
        if not self._core.paused:
            raise Exception(
                "Call to release_kv_cache_memory method failed: release_kv_cache_memory() "
                "requires a completed pause first"
            )

    async def checkpoint_prepare(self) -> None:
        """Does nothing."""
        await self._utility("checkpoint_prepare")

    async def checkpoint_restore(self) -> None:
        """Does nothing."""
        await self._utility("checkpoint_restore")

    async def compute_weight_checksums(self) -> list[dict[str, str]]:
        """Returns the checksum of nothing, once."""
        await self._utility("compute_weight_checksums")
        return [{"dp0:pp0:pcp0:tp0:model.fake.weight": "e3b0c442"}]

    async def get_weight_version(self) -> str:
        """Returns the version that was set."""
        await self._utility("get_weight_version")
        return self._weight_version

    async def update_weight_version(self, new_version: str) -> None:
        """Sets the version."""
        await self._utility("update_weight_version", new_version)
        self._weight_version = new_version

    async def init_weight_transfer_engine(self, request: WeightTransferInitRequest) -> None:
        """Raises: there is no weight transfer."""
        await self._transfer("init_weight_transfer_engine", request)

    async def shutdown_weight_transfer_engine(self) -> None:
        """Does nothing, as there is nothing to shut down."""
        await self._utility("shutdown_weight_transfer_engine")

    async def start_weight_update(self) -> None:
        """Raises: there is no weight transfer."""
        await self._transfer("start_weight_update")

    async def start_draft_weight_update(self) -> None:
        """Raises: there is no weight transfer."""
        await self._transfer("start_draft_weight_update")

    async def update_weights(self, request: WeightTransferUpdateRequest) -> None:
        """Raises: there is no weight transfer."""
        await self._transfer("update_weights", request)

    async def finish_weight_update(self, weight_version: str | None = None) -> None:
        """Raises: there is no weight transfer."""
        await self._transfer("finish_weight_update", weight_version)

    async def _transfer(self, method: str, *args: object) -> None:
        await self._utility(method, *args)
        raise Exception(
            f"Call to collective_rpc method failed: Worker failed with error '{NO_TRANSFER}', "
            "please check the stack trace above for the root cause"
        )

    # --- Profiles ---

    async def start_profile(
        self,
        profile_prefix: str | None = None,
        *,
        delay_iterations: int | None = None,
        max_iterations: int | None = None,
    ) -> None:
        """Begins a profile that nobody writes."""
        await self._utility("start_profile", profile_prefix)
        if self._profiling:
            raise ProfilerAlreadyActiveError
        self._profiling = True

    async def stop_profile(self) -> None:
        """Ends it."""
        await self._utility("stop_profile")
        self._profiling = False

    # --- What vLLM keeps to itself ---

    def _run_output_handler(self) -> None:
        self._note("_run_output_handler")
        self._core.start()
