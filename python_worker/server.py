"""Start and stop of the worker, one numbered sequence each."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from concurrent.futures import ThreadPoolExecutor

from python_worker.dispatch.call_limit import CallLimit
from python_worker.dispatch.call_spans import call_spans
from python_worker.dispatch.dispatcher import Dispatcher
from python_worker.dispatch.engine_loads import EngineLoads
from python_worker.dispatch.engine_watch import Watches
from python_worker.dispatch.references import References
from python_worker.dispatch.worker_class import Worker
from python_worker.engines.builder import Builder
from python_worker.exceptions import Draining, Stopped
from python_worker.generated.vllm_bridge.v1 import messages_pb2 as pb
from python_worker.process import fork_server, large_work, lifeline, logs, run_folder
from python_worker.process.service_manager import ServiceManager
from python_worker.process.unused_memory import Sweeper
from python_worker.rpc.addresses import Addresses, uri
from python_worker.rpc.certificates import Certificates
from python_worker.rpc.grpc_server import GrpcServer, services
from python_worker.rpc.grpc_service import ANYONE, SERVICE, Bridge
from python_worker.rpc.health import Health
from python_worker.rpc.listeners import Listeners, MetricsListener
from python_worker.rpc.roles import Admission
from python_worker.rpc.sessions import Sessions
from python_worker.settings import Settings, SettingsError
from python_worker.surface import served_classes

logger = logging.getLogger(__name__)

# Plain methods run here; each may block for as long as it likes, so there are
# more threads than cores.
MAX_BLOCKING_CALLS = 64

# Beyond the grace period: shutting an engine down takes vLLM 3 to 4 s.
SHUTDOWN_SECONDS = 10.0

# How long the last frames may take to leave.
LAST_FRAMES_SECONDS = 0.5

READY = "VLLM_BRIDGE READY"


class Server:
    """One worker: its listeners, its references and its engines."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        # Before anything that leaves files: both may be refused.
        certificates = None if settings.tls is None else Certificates(settings.tls)
        admission = Admission(
            token=settings.token,
            roles=settings.roles,
            certificates=settings.tls is not None and bool(settings.tls.client_ca),
        )
        self._stop_asked = asyncio.Event()
        self._service_manager = ServiceManager(own=not settings.lifeline)
        self._spans = call_spans(settings.otlp_endpoint)
        self._folders = run_folder.create(settings.listen)
        if settings.log_format == "json":
            logs.configure_vllm(self._folders[0])
        self._references = References()
        self._health = Health()
        self._watches = Watches(
            announce=lambda notice: self._sessions.announce(notice),
            set_health=self._health.set_engine,
            ended=Sweeper(self._folders[0]).engine_ended,
            stall_after=settings.stall_after,
        )
        worker = Worker(
            references=self._references,
            watches=self._watches,
            calls=lambda: len(self._bridge.tasks),
            sessions=lambda: len(self._sessions),
            anyone=ANYONE,
            name_of=lambda engine: self._dispatcher.declared_name(engine),
        )
        builder = Builder(
            settings.engine_class,
            token_path=settings.token_path,
            stall_after=settings.stall_after,
        )
        self._classes = served_classes(builder, worker)
        self._dispatcher = Dispatcher(
            self._references,
            self._classes,
            watches=self._watches,
            limit=CallLimit(settings.max_calls),
            spans=self._spans,
        )
        start = self._dispatcher.start
        self._sessions = Sessions(
            start=start, references=self._references, admission=admission, pid=os.getpid()
        )
        self._loads = EngineLoads(self._references, self._sessions)
        self._addresses = Addresses()
        self._bridge = Bridge(
            self._sessions,
            start=start,
            references=self._references,
            admission=admission,
            addresses=self._addresses,
        )
        grpc = GrpcServer(services(self._bridge, self._health), certificates)
        metrics = self._metrics(worker) if settings.metrics_listen else None
        self._listeners = Listeners(self._sessions, grpc, self._addresses, certificates, metrics)

    def _metrics(self, worker: Worker) -> MetricsListener:
        # Here, because it takes half a second, which only who asks for metrics has to wait.
        try:
            from python_worker.rpc.metrics_server import MetricsServer
            from python_worker.rpc.metrics_text import Page
        except ImportError as error:
            raise SettingsError(
                f"--metrics-listen: {error}; prometheus_client and aiohttp come with vLLM"
            ) from error
        tokens = [it for it in (self._settings.token, self._settings.metrics_token) if it]
        return MetricsServer(Page(worker, self._references), tokens)

    async def run(self, ready: int) -> None:
        """Serve until told to stop. However it ends, no file is left.

        Args:
            ready: The file descriptor that gets the ready line; closed then.
        """
        try:
            await self._run(ready)
        finally:
            self._remove_files()

    async def _run(self, ready: int) -> None:
        large_work.let_threads_take_turns()
        # 1. Blocking methods must not wait for each other.
        asyncio.get_running_loop().set_default_executor(
            ThreadPoolExecutor(MAX_BLOCKING_CALLS, thread_name_prefix="method")
        )
        # 2. From here on every way to end leads through `_stop`.
        lifeline.watch_signals(self._stop_asked.set)
        if self._settings.lifeline:
            lifeline.watch_stdin(self._abandoned)
        # 3. Serve. vLLM has not been imported, and health says so: SERVING
        #    means that calls are answered, not that an engine is there.
        await self._health.serve(SERVICE)
        settings = self._settings
        await self._listeners.open(settings.listen, settings.grpc_listen, settings.metrics_listen)
        self._loads.start()
        # 4. Tell the parent, and never write to its stdout again.
        announce(ready, self._addresses, self._references.incarnation)
        for what, served in (
            ("sessions", self._addresses.sessions),
            ("gRPC", self._addresses.grpc),
            ("metrics", self._addresses.metrics),
        ):
            logger.info("serving %s at %s", what, ", ".join(map(uri, served)) or "no address")
        self._service_manager.ready(f"serving sessions at {uri(self._addresses.sessions[0])}")
        # 5. Wait for the signal to stop.
        await self._stop_asked.wait()
        await self._stop()

    def _abandoned(self) -> None:
        """End at once: the client is gone, and no call has anybody left to answer."""
        logger.warning("stdin has ended, so the client is gone: the worker ends")
        fork_server.SERVER.stop()
        lifeline.kill_group()
        self._remove_files()
        os._exit(0)

    def _remove_files(self) -> None:
        self._listeners.remove_files()
        run_folder.remove(*self._folders)

    async def _stop(self) -> None:
        grace = self._settings.grace
        lifeline.force_end_after(grace + SHUTDOWN_SECONDS, self._remove_files)
        self._service_manager.stopping(grace + SHUTDOWN_SECONDS, "calls in flight are finished")
        # 1. Take no new calls, and say so.
        logger.info("stopping: %d calls in flight, %.1f s for them", len(self._bridge.tasks), grace)
        self._dispatcher.drain(Draining("the worker is stopping and takes no new calls"))
        await self._health.servicer.enter_graceful_shutdown()
        self._sessions.announce(pb.Notice(draining=pb.Draining(grace_ms=int(grace * 1000))))
        # 2. Finish what can finish.
        await self._bridge.wait_idle(grace)
        # 3. End the rest, with the reason.
        self._bridge.stop_calls(
            Stopped("the worker stopped before this call had ended; it may have run in part")
        )
        self._dispatcher.stop()
        await self._bridge.wait_idle(1.0)
        self._loads.stop()
        # 4. Shut the engines down; a plain exit would leave EngineCore alive.
        await self._shut_engines_down()
        await self._classes.stop()
        if self._spans is not None:
            await self._spans.flush()
        # 5. Let the last frames leave, then the connections.
        await self._listeners.close(LAST_FRAMES_SECONDS)
        # 6. Leave nothing behind.
        self._service_manager.close()
        fork_server.SERVER.stop()
        lifeline.kill_group()
        self._remove_files()

    async def _shut_engines_down(self) -> None:
        for entry in self._references.pinned():
            if (watch := self._watches.of(entry.target)) is not None:
                # No client is to be told that it has died.
                watch.expect_end()
        await asyncio.gather(
            *(
                asyncio.to_thread(entry.served.stop, entry.target)
                for entry in self._references.pinned()
                if entry.served.stop is not None
            )
        )


def announce(ready: int, addresses: Addresses, incarnation: str) -> None:
    """Write the ready line, the only one that stdout ever carries.

    It is ``VLLM_BRIDGE READY``, a space and a JSON object: ``address`` (of the sessions), ``pid``
    and ``incarnation``; ``grpc_address`` if gRPC is served; ``addresses`` and ``grpc_addresses``,
    all of them, if there are several; ``metrics_addresses`` if metrics are served. An address is a
    URI (see ``addresses.uri``), so no text in the line has a quote, a backslash, a space or a byte
    that is not ASCII.
    """
    sessions, grpc = [[uri(it) for it in each] for each in (addresses.sessions, addresses.grpc)]
    facts: dict[str, object] = {
        "address": sessions[0],
        "pid": os.getpid(),
        "incarnation": incarnation,
    }
    if len(sessions) > 1:
        facts["addresses"] = sessions
    if grpc:
        facts["grpc_address"] = grpc[0]
    if len(grpc) > 1:
        facts["grpc_addresses"] = grpc
    if addresses.metrics:
        facts["metrics_addresses"] = [uri(it) for it in addresses.metrics]
    with open(ready, "w", encoding="ascii") as stdout:
        stdout.write(f"{READY} {json.dumps(facts)}\n")


def take_stdout() -> int:
    """Keep stdout for the ready line and send everything else to stderr.

    vLLM and its children print to stdout, which is the client's channel.

    Returns:
        A file descriptor of the original stdout that children do not inherit.
    """
    sys.stdout.flush()
    original = os.dup(1)
    os.dup2(2, 1)
    return original
