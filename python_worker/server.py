"""Start and stop of the worker, one numbered sequence each."""

from __future__ import annotations

import asyncio
import functools
import json
import logging
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from python_worker.dispatch.call_limit import CallLimit
from python_worker.dispatch.dispatcher import Dispatcher
from python_worker.dispatch.engine_watch import Watches
from python_worker.dispatch.references import References
from python_worker.dispatch.worker_class import Worker
from python_worker.engines.builder import Builder
from python_worker.exceptions import Draining, Stopped
from python_worker.generated.vllm_bridge.v1 import messages_pb2 as pb
from python_worker.process import lifeline, run_folder
from python_worker.rpc import addresses
from python_worker.rpc.door import Arrival
from python_worker.rpc.grpc_service import ANYONE, SERVICE, Bridge
from python_worker.rpc.health import Health
from python_worker.rpc.relay import Relay
from python_worker.rpc.session_protocol import SessionProtocol
from python_worker.rpc.sessions import Sessions
from python_worker.settings import Settings, SettingsError
from python_worker.surface import served_classes
from python_worker.wire.limits import MAX_MESSAGE_BYTES

logger = logging.getLogger(__name__)

# Plain methods run here; each may block for as long as it likes, so there are
# more threads than cores.
MAX_BLOCKING_CALLS = 64

# Beyond the grace period: shutting an engine down takes vLLM 3 to 4 s.
SHUTDOWN_SECONDS = 10.0

CHANNEL_OPTIONS = [
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    # One HTTP/2 DATA frame for what one gRPC message usually holds.
    ("grpc.http2.max_frame_size", 1024 * 1024),
    # What a client may send before we have read it. gRPC would begin with 64 kB and ask with
    # pings how much more the way bears, so that 64 MB take twice as long.
    ("grpc.http2.lookahead_bytes", 8 * 1024 * 1024),
    ("grpc.http2.bdp_probe", 0),
]

# How often gRPC is asked whether it still takes calls; it tells nobody.
LOOK_SECONDS = 0.2

# How long what was said at the end may take to leave.
LAST_WORDS_SECONDS = 0.5

READY = "VLLM_BRIDGE READY"


class Server:
    """One worker: its gRPC server, its references and its engines."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stop_asked = asyncio.Event()
        self._folder = run_folder.create()
        self._registry = References()
        self._health = Health()
        self._watches = Watches(
            announce=lambda notice: self._clients.announce(notice),
            set_health=self._health.set_engine,
            stall_after=settings.stall_after,
        )
        worker = Worker(
            registry=self._registry,
            watches=self._watches,
            calls=lambda: len(self._bridge.tasks),
            sessions=lambda: len(self._clients),
            anyone=ANYONE,
        )
        self._dispatcher = Dispatcher(
            self._registry,
            served_classes(Builder(settings.engine_class, token_path=settings.token_path), worker),
            watches=self._watches,
            limit=CallLimit(settings.max_calls),
        )
        start = self._dispatcher.start
        self._clients = Sessions(
            start=start, registry=self._registry, token=settings.token, pid=os.getpid()
        )
        self._bridge = Bridge(self._clients, start=start, token=settings.token)
        self._connections: set[SessionProtocol] = set()
        self._relays: set[Relay] = set()
        self._doors: list[asyncio.Server] = []
        self._grpc = grpc.aio.server(options=CHANNEL_OPTIONS)
        # Where gRPC serves, behind the doors. By a descriptor of the folder, because the path of a
        # socket has no more than 107 bytes and the folder's own may be longer.
        folder = os.open(self._folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self._grpc_socket = f"/proc/self/fd/{folder}/grpc"
        # Those that take no more calls, and may have sessions.
        self._retired: dict[grpc.aio.Server, asyncio.Future[None]] = {}

    async def run(self, ready: int) -> None:
        """Serve until told to stop.

        Args:
            ready: The file descriptor that gets the ready line; closed then.
        """
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
        await self._serve_grpc()
        try:
            listening = [await self._open(address) for address in self._settings.listen]
        except SettingsError:
            run_folder.remove(self._folder)
            raise
        await self._health.serve(SERVICE)
        # 4. Tell the parent, and never write to its stdout again.
        announce(ready, listening, self._registry.incarnation)
        logger.info("serving at %s", ", ".join(listening))
        guard = asyncio.ensure_future(self._serve_grpc_again())
        await self._stop_asked.wait()
        guard.cancel()
        await self._stop()

    def _abandoned(self) -> None:
        """End at once: the client is gone, and nobody is left to be polite to."""
        logger.warning("stdin has ended: the client is gone")
        lifeline.kill_group()
        for address in self._settings.listen:
            addresses.remove_socket(address)
            addresses.remove_folder(address)
        run_folder.remove(self._folder)
        os._exit(0)

    async def _stop(self) -> None:
        grace = self._settings.grace
        lifeline.force_end_after(grace + SHUTDOWN_SECONDS)
        # 1. Take no new calls, and say so.
        logger.info("stopping: %d calls in flight, %.1f s for them", len(self._bridge.tasks), grace)
        self._dispatcher.drain(Draining("the worker is stopping and takes no new calls"))
        await self._health.servicer.enter_graceful_shutdown()
        self._clients.announce(pb.Notice(draining=pb.Draining(grace_ms=int(grace * 1000))))
        # 2. Finish what can finish.
        await self._bridge.wait_idle(grace)
        # 3. End the rest, with the reason.
        self._bridge.stop_calls(
            Stopped("the worker stopped before this call had ended; it may have run in part")
        )
        await self._bridge.wait_idle(1.0)
        # 4. Shut the engines down; a plain exit would leave EngineCore alive. Nobody is to be told
        #    that they have died.
        for entry in self._registry.pinned():
            if (watch := self._watches.of(entry.target)) is not None:
                watch.expect_end()
        await asyncio.gather(
            *(
                asyncio.to_thread(entry.served.stop, entry.target)
                for entry in self._registry.pinned()
                if entry.served.stop is not None
            )
        )
        # 5. Let the last frames leave, then the connections.
        for door in self._doors:
            door.close()
        servers = [self._grpc, *self._retired]
        await asyncio.gather(
            *(connection.stop(LAST_WORDS_SECONDS) for connection in self._connections),
            *(server.stop(grace=LAST_WORDS_SECONDS) for server in servers),
        )
        # gRPC has closed; what it said last is still on its way through here.
        if self._relays:
            going = [relay.gone for relay in self._relays]
            await asyncio.wait(going, timeout=LAST_WORDS_SECONDS)
        # 6. Leave nothing behind.
        for address in self._settings.listen:
            addresses.remove_socket(address)
        lifeline.kill_group()
        run_folder.remove(self._folder)

    # --- Serving ---------------------------------------------------------------

    async def _open(self, address: str) -> str:
        """Let clients in at one address; TCP port 0 becomes the port that was free.

        Raises:
            SettingsError: It cannot be bound.
        """
        session = functools.partial(SessionProtocol, self._clients, self._connections)
        arrival = functools.partial(Arrival, session, self._grpc_socket, self._relays)
        doors, address = await addresses.listen(address, arrival)
        self._doors += doors
        return address

    async def _serve_grpc(self) -> None:
        """Have gRPC serve those of our clients that want no session."""
        self._grpc.add_generic_rpc_handlers((self._bridge.handlers(),))
        health_pb2_grpc.add_HealthServicer_to_server(self._health.servicer, self._grpc)
        health = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
        names = (SERVICE, health, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, self._grpc)
        self._grpc.add_insecure_port(f"unix:{self._grpc_socket}")
        await self._grpc.start()

    async def _serve_grpc_again(self) -> None:
        """Serve anew whenever gRPC takes no more calls by itself.

        A request for a path that is no UTF-8 is enough, before anybody has asked for a token. Only
        what takes calls is broken then: those that run, sessions too, go on where they are. gRPC
        has begun to stop it and said GOAWAY: who comes before the next one serves is refused or
        cancelled at once, and tries again.
        """
        while True:
            try:
                await self._grpc.wait_for_termination(LOOK_SECONDS)
                continue
            except Exception as error:
                logger.error("gRPC takes no more calls: %r", error)
            self._retired[self._grpc] = asyncio.ensure_future(self._retire(self._grpc))
            self._grpc = grpc.aio.server(options=CHANNEL_OPTIONS)
            await self._serve_grpc()
            logger.warning("gRPC takes calls again")

    async def _retire(self, server: grpc.aio.Server) -> None:
        """Let a server go that takes no more calls, once those it has are over."""
        with suppress(Exception):
            await server.wait_for_termination()
        await server.stop(None)
        del self._retired[server]


def announce(ready: int, listening: list[str], incarnation: str) -> None:
    """Write the ready line, the only one that stdout ever carries."""
    facts = {"address": listening[0], "pid": os.getpid(), "incarnation": incarnation}
    if len(listening) > 1:
        facts["addresses"] = listening
    with open(ready, "w", encoding="utf-8") as stdout:
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
