"""From a request to a method, and from its result to replies.

Dispatch trusts the object, not a table: it awaits whatever is awaitable and
iterates whatever is an async iterator, so a method that is a coroutine in one
vLLM and plain in another gives its caller the same.

Nothing here may hold up the event loop. Plain methods run in a thread, except
those of an engine that are known to return at once. These, and what only reads
an attribute, have their reply in the turn of the loop in which they came.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import inspect
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from python_worker import codec, exceptions, failures
from python_worker.buffers import Buffer
from python_worker.codec import encoder, types
from python_worker.codec.item_encoder import ItemEncoder
from python_worker.dispatch.call import Call, GoingOn
from python_worker.dispatch.engine_watch import Watches
from python_worker.dispatch.members import (
    FIELDS,
    IMMEDIATE,
    find_member,
    is_method,
    refuse_arguments,
    returns_at_once,
)
from python_worker.dispatch.references import Holder, References
from python_worker.engines import builder
from python_worker.engines.builder import CONSTRUCTORS, Builder
from python_worker.engines.collector import collect
from python_worker.engines.constructors import EngineArguments, construct
from python_worker.engines.results import documented
from python_worker.exceptions import Draining, NotServed, Unsupported
from python_worker.generated.vllm_bridge.v1 import messages_pb2 as pb
from python_worker.streaming.stream import drain
from python_worker.validation import renamed_parameters, signatures
from python_worker.wire.server_frames import check_size

logger = logging.getLogger(__name__)

ENGINE_TYPE = "AsyncLLM"
ARGUMENTS_TYPE = "AsyncEngineArgs"
SHUTDOWN = "shutdown"
ADD_REQUEST = "add_request"


class Dispatcher:
    """Carries out calls against the objects and classes of one worker.

    Args:
        registry: Where references are kept.
        builder: Builds engines.
        classes: Served objects by class name, for calls without a reference.
        watches: Those of the engines that are built.

    Attributes:
        draining: Set when the worker stops; new calls are refused with it.
    """

    def __init__(
        self,
        registry: References,
        builder: Builder,
        classes: Mapping[str, object],
        *,
        watches: Watches,
    ) -> None:
        self._registry = registry
        self._watches = watches
        self._builder = builder
        self._classes = classes
        self._arguments_class = EngineArguments(builder)
        self.draining: Draining | None = None
        self._shutdowns: set[asyncio.Future[object]] = set()

    def perform(self, call: Call) -> GoingOn | None:
        """Check one call and carry it out, or return what is left to do of it."""
        if self.draining is not None:
            raise self.draining.with_traceback(None)  # else it keeps the frames of all of them
        request = call.request
        args: Sequence[Any]
        args, kwargs = self._arguments(call)
        if request.class_name == ENGINE_TYPE:
            return self._build(call, args, kwargs)
        target = self._target(request)
        entry = self._registry.entry(target)
        on_engine = entry is not None and entry.type == ENGINE_TYPE
        member = find_member(target, request.method, on_engine=on_engine)
        if request.method in FIELDS and on_engine:
            refuse_arguments(request.method, args, kwargs)
            return self._copy(call, member)
        if not is_method(target, request.method, member):
            refuse_arguments(request.method, args, kwargs)
            return self._answer(call, target, member, args, kwargs, on_engine=on_engine)
        # Strict where an engine could be harmed; see signature_of.
        signature = signatures.signature_of(member, strict=on_engine)
        if on_engine and request.method in renamed_parameters.TRANSLATIONS:
            names = list(signature.signature.parameters)
            given = renamed_parameters.GivenArguments(names, args, kwargs)
            renamed_parameters.translate(request.method, given)
            args, kwargs = given.args, given.kwargs
        args, kwargs = signature.bind(args, kwargs)
        call.check_inputs()
        if on_engine and request.method == SHUTDOWN:
            return self._shut_down(call, target, member, args, kwargs)
        if on_engine and request.method in IMMEDIATE and not returns_at_once(member):
            with self._over(target, call):
                result = member(*args, **kwargs)
            return self._answer(call, target, result, args, kwargs, on_engine=True)
        return self._run(call, target, member, args, kwargs, on_engine=on_engine)

    async def _run(
        self,
        call: Call,
        target: object,
        member: Callable[..., Any],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        *,
        on_engine: bool,
    ) -> None:
        """Call a method with arguments that have been checked, and send what it returns."""
        with self._over(target, call):
            if on_engine and call.request.method == ADD_REQUEST:
                await self._collect(call, target, member(*args, **kwargs))
                return
            try:
                result = await self._invoke(member, args, kwargs)
            except RuntimeError as error:
                # The thread pools of an engine that was shut down speak for themselves.
                if on_engine and getattr(target, "errored", False):
                    raise getattr(target, "dead_error", error) from error
                raise
        going_on = self._answer(call, target, result, args, kwargs, on_engine=on_engine)
        if going_on is not None:
            await going_on

    def _answer(
        self,
        call: Call,
        target: object,
        result: object,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        *,
        on_engine: bool,
    ) -> GoingOn | None:
        """Send a result, or return what is left to do of it."""
        if isinstance(result, AsyncIterator):
            return self._stream(call, target, result, args, kwargs, on_engine=on_engine)
        if inspect.isawaitable(result):
            return self._wait(call, target, result, on_engine=on_engine)
        self._reply(call, documented(call.request.method, result) if on_engine else result)
        return None

    async def _wait(
        self, call: Call, target: object, awaited: Awaitable[object], *, on_engine: bool
    ) -> None:
        with self._over(target, call):
            result = await awaited
        self._reply(call, documented(call.request.method, result) if on_engine else result)

    def _over(self, target: object, call: Call) -> AbstractContextManager[None]:
        watch = self._watches.of(target)
        return watch.over(call) if watch else nullcontext()

    async def _copy(self, call: Call, field: object) -> None:
        self._reply(call, await asyncio.to_thread(FIELDS[call.request.method], field))

    async def _collect(self, call: Call, target: object, adding: Awaitable[object]) -> None:
        """Admit a request whose outputs are taken one by one."""
        abort = functools.partial(builder.abort, target)
        self._reply(call, await collect(target, adding, abort))

    def _reply(self, call: Call, value: object) -> None:
        call.outlet.send_value(self._encode(value, call.holder))
        if call.inputs is not None:
            call.inputs.outlives_call = True  # A collector goes on reading it.

    async def _invoke(self, member: Callable[..., Any], args: Any, kwargs: Any) -> object:
        if returns_at_once(member):
            result = member(*args, **kwargs)
        else:
            result = await asyncio.to_thread(member, *args, **kwargs)
        return await result if inspect.isawaitable(result) else result

    async def _shut_down(
        self, call: Call, target: object, member: Callable[..., Any], args: Any, kwargs: Any
    ) -> None:
        """Shut an engine down, to the end even when its caller leaves."""
        watch = self._watches.of(target)
        if watch is not None:
            watch.expect_end()

        async def finish() -> object:
            result = await self._invoke(member, args, kwargs)
            self._watches.end(target)
            self._registry.unpin(target)
            if not any(self._registry.pinned()):
                gc.unfreeze()  # What the engines were may now be collected.
            return result

        task = asyncio.ensure_future(finish())
        self._shutdowns.add(task)
        task.add_done_callback(self._shutdowns.discard)
        self._reply(call, await asyncio.shield(task))

    async def _build(self, call: Call, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        """Build an engine: import vLLM, check, construct, all in a thread."""
        method = call.request.method
        if method not in CONSTRUCTORS:
            raise NotServed(
                f"{ENGINE_TYPE} has no class method {method!r} that is served; "
                f"without a reference there are {', '.join(sorted(CONSTRUCTORS))}"
            )

        built: Any = await self._builder.run(
            lambda engine_class: construct(engine_class, method, args, kwargs)
        )
        ref = self._registry.hold(built, call.holder, type_name=ENGINE_TYPE, pin=True)
        self._watches.begin(built, ref.id)
        call.outlet.send_value([codec.encode(built, register=lambda _: ref)])

    async def _stream(
        self,
        call: Call,
        target: object,
        items: AsyncIterator[object],
        args: Sequence[Any],
        kwargs: Mapping[str, object],
        *,
        on_engine: bool,
    ) -> None:
        params = next((v for v in (*args, *kwargs.values()) if hasattr(v, "output_kind")), None)
        encoder = ItemEncoder(
            register=functools.partial(self._register, holder=call.holder),
            failure_bytes=failures.to_bytes,
            cumulative=getattr(getattr(params, "output_kind", None), "name", "") == "CUMULATIVE",
        )
        abort = functools.partial(builder.abort, target) if on_engine else None
        with self._over(target, call):
            await drain(items, call.outlet, encoder=encoder, abort=abort)

    def _target(self, request: pb.CallRequest) -> object:
        which = request.WhichOneof("target")
        if which == "ref":
            return self._registry.resolve(request.incarnation, request.ref)
        if which == "class_name":
            name = request.class_name
            if name == ARGUMENTS_TYPE:
                return self._arguments_class
            if name not in self._classes:
                served = ", ".join(sorted([ENGINE_TYPE, ARGUMENTS_TYPE, *self._classes]))
                raise NotServed(f"no class {name!r} is served; there are {served}")
            return self._classes[name]
        raise exceptions.ProtocolError("the call names neither a reference nor a class")

    def _arguments(self, call: Call) -> tuple[list[Any], dict[str, Any]]:
        request = call.request
        # Only methods of objects have a use for a stream.
        stream = (lambda: call.open_inputs(self._decode)) if request.ref else None
        large, call.large = call.large or {}, None
        given_args = large.get("args") or request.args
        given_kwargs = large.get("kwargs") or request.kwargs
        args = self._decode(given_args, stream) if given_args else []
        kwargs = self._decode(given_kwargs, stream) if given_kwargs else {}
        if not isinstance(args, list) or not isinstance(kwargs, dict):
            raise exceptions.ProtocolError("args must be an array and kwargs a map")
        return args, kwargs

    def _decode(self, data: Buffer, stream: types.OpenStream | None = None) -> object:
        return codec.decode(data, resolve=self._registry.resolve, stream=stream)

    def _encode(self, value: object, holder: Holder) -> list[Buffer]:
        if (constant := encoder.CONSTANTS.get(type(value))) is not None:
            return [constant[value]]
        held: list[str] = []

        def register(target: object) -> types.RefParts:
            ref = self._registry.hold(target, holder)
            held.append(ref.id)
            return ref

        try:
            item = codec.Encoder(register=register, failure_bytes=failures.to_bytes)
            parts = item.encode_parts(value)
            check_size(sum(map(len, parts)))
            return parts
        except (exceptions.EncodeError, Unsupported):
            # The client never hears of these, so it cannot let them go.
            for ref_id in held:
                self._registry.release(ref_id, holder)
            raise

    def _register(self, target: object, *, holder: Holder) -> types.RefParts:
        return self._registry.hold(target, holder)
