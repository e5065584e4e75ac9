"""What a node runs for one head, with vLLM's own classes.

With data parallelism these are EngineCores, which ask the head for requests. With tensor or
pipeline parallelism over several hosts they are worker processes, whose EngineCore is at the head.
``vllm serve --headless`` runs the same; what is added is that they end with their head.
"""

from __future__ import annotations

import enum
import logging
import multiprocessing
from typing import Any, Protocol

from python_worker.node.head import HeadConnection
from python_worker.process.head_link import HEAD_GONE

logger = logging.getLogger(__name__)

# How long cores may take to put their models away before they are killed.
END_SECONDS = 10.0


class End(enum.Enum):
    """Why what ran has ended."""

    HEAD_GONE = "the head has gone"
    FAILED = "it failed"


class Part(Protocol):
    """What a node runs for one head."""

    host: str
    port: int

    def describe(self) -> str:
        """What it is, in words."""

    def run(self) -> End:
        """Start it, and return when it has ended and all its processes have."""


def part_of(engine_args: Any) -> Part:
    """What a node runs with these arguments of its engine.

    Args:
        engine_args: vLLM's ``AsyncEngineArgs``.
    """
    from vllm.usage.usage_lib import UsageContext

    config = engine_args.create_engine_config(
        usage_context=UsageContext.ENGINE_CONTEXT, headless=True
    )
    if config.parallel_config.node_rank_within_dp > 0:
        return Workers(config)
    return Cores(config, log_stats=not engine_args.disable_log_stats)


class Cores:
    """EngineCores, for data parallelism.

    Args:
        config: vLLM's configuration.
        log_stats: Whether they count what they do.
    """

    def __init__(self, config: Any, *, log_stats: bool) -> None:
        self._config = config
        self._log_stats = log_stats
        self._parallel = config.parallel_config
        self.host: str = self._parallel.data_parallel_master_ip
        self.port: int = self._parallel.data_parallel_rpc_port

    def describe(self) -> str:
        """The ranks of the cores."""
        first, count = self._parallel.data_parallel_rank, self._parallel.data_parallel_size_local
        ranks = f"rank {first}" if count == 1 else f"ranks {first} to {first + count - 1}"
        return f"the EngineCore of {ranks} of {self._parallel.data_parallel_size}"

    def run(self) -> End:
        """See ``Part``."""
        from vllm.utils.network_utils import get_tcp_uri
        from vllm.v1.engine.utils import CoreEngineProcManager
        from vllm.v1.executor import Executor

        manager = CoreEngineProcManager(
            local_engine_count=self._parallel.data_parallel_size_local,
            start_index=self._parallel.data_parallel_rank,
            local_start_index=0,
            vllm_config=self._config,
            local_client=False,
            handshake_address=get_tcp_uri(self.host, self.port),
            executor_class=Executor.get_class(self._config),
            log_stats=self._log_stats,
        )
        try:
            manager.monitor_engine_liveness()
        finally:
            manager.shutdown(END_SECONDS)
        ended = manager.finished_procs()
        if HEAD_GONE in ended.values():
            return End.HEAD_GONE
        logger.error("the cores have ended: %s", ended)
        return End.FAILED


class Workers:
    """Worker processes of an EngineCore that is at the head.

    Args:
        config: vLLM's configuration.
    """

    def __init__(self, config: Any) -> None:
        self._config = config
        self._parallel = config.parallel_config
        self.host: str = self._parallel.master_addr
        self.port: int = self._parallel.master_port

    def describe(self) -> str:
        """Which host of how many this is."""
        rank, count = self._parallel.node_rank, self._parallel.nnodes
        return f"the worker processes of node {rank} of {count}"

    def run(self) -> End:
        """See ``Part``."""
        from vllm.v1.executor.multiproc_executor import MultiprocExecutor

        # The first worker process of the head holds this port.
        try:
            head = HeadConnection(self.host, self.port, end_children)
        except OSError:
            return End.HEAD_GONE
        executor = None
        try:
            executor = MultiprocExecutor(self._config, monitor_workers=False)
            executor.start_worker_monitor(inline=True)
        except Exception:
            if not head.has_ended:
                raise
        finally:
            head.close()
            if executor is not None:
                executor.shutdown()
        return End.HEAD_GONE if head.has_ended else End.FAILED


def end_children() -> None:
    """Kill the processes that this one has started: without their head they wait for ever."""
    for child in multiprocessing.active_children():
        child.kill()
