"""From a request to a method, and from its result to replies.

The dispatcher knows no class: what differs between classes is in their policies
(``served_classes``). It trusts the object, not a table, on how a method returns: it awaits whatever
is awaitable and iterates whatever is an async iterator, so a method that is a coroutine in one vLLM
and plain in another gives its caller the same.

Nothing here may hold up the event loop. Plain methods run in a thread, except those that their
policy knows to return at once. These, and what only reads an attribute, are answered in the turn of
the loop in which they came.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from python_worker.codec.bulk import is_bulky
from python_worker.codec.encoder import CONSTANTS
from python_worker.codec.part_encoder import PartEncoder
from python_worker.dispatch import call as calls
from python_worker.dispatch.access import CALLER, EVERYTHING
from python_worker.dispatch.call import Call, GoingOn
from python_worker.dispatch.call_limit import CallLimit
from python_worker.dispatch.call_spans import TRACE_HEADERS, CallSpan, CallSpans
from python_worker.dispatch.engine_watch import Watches
from python_worker.dispatch.invocation import Invocation
from python_worker.dispatch.lifetimes import Lifetimes
from python_worker.dispatch.members import (
    find_member,
    is_method,
    refuse_arguments,
    returns_at_once,
)
from python_worker.dispatch.references import References
from python_worker.dispatch.served_classes import ServedClass, ServedClasses
from python_worker.dispatch.threads import in_thread
from python_worker.dispatch.values import Given, Values
from python_worker.exceptions import Draining, ProtocolError
from python_worker.generated.vllm_bridge.v1 import messages_pb2 as pb
from python_worker.process import large_work
from python_worker.streaming.fast_path import ItemEncoding
from python_worker.streaming.progress import PROGRESS
from python_worker.streaming.stream import drain
from python_worker.validation import signatures
from python_worker.validation.renamed_parameters import GivenArguments
from python_worker.validation.sizes import check_foreign

Begin = Callable[[], GoingOn | None]
"""What is done when a call's arguments have been checked."""

_NOTHING: AbstractContextManager[None] = nullcontext()


class Dispatcher:
    """Carries out calls against the objects and classes of one worker.

    Args:
        references: The objects that clients hold.
        classes: What clients reach (``surface``).
        watches: Those of the engines that are built.
        limit: How many calls may run at once.
        spans: Makes a span of each call; None for none.
    """

    def __init__(
        self,
        references: References,
        classes: ServedClasses,
        *,
        watches: Watches,
        limit: CallLimit,
        spans: CallSpans | None = None,
    ) -> None:
        self._references = references
        self._classes = classes
        self._watches = watches
        self._limit = limit
        self._spans = spans
        self._values = Values(references, classes.of)
        self._draining: Draining | None = None
        self._lifetimes = Lifetimes(references, watches)

    def drain(self, reason: Draining) -> None:
        """Refuse new calls from now on, with a reason: the worker is stopping."""
        self._draining = reason

    def stop(self) -> None:
        """The worker stops: what is being made for all clients is not waited for."""
        self._lifetimes.declared.stop()

    def declared_name(self, target: object) -> str | None:
        """The name that an object is declared under; None for one that is not."""
        return self._lifetimes.declared.name_of(target)

    def start(self, call: Call) -> asyncio.Task[None] | None:
        """Begin a call.

        Returns:
            The task that goes on with it, which ends without an exception; None when the call is
            over already.
        """
        return calls.start(call, self._perform)

    # --- Finding ---------------------------------------------------------------

    def _perform(self, call: Call) -> GoingOn | None:
        """Check one call and carry it out, or return what is left to do of it."""
        if self._spans is not None:
            call.span = self._span(self._spans, call.request)
        if self._draining is not None:
            raise self._draining.with_traceback(None)  # else it keeps the frames of all of them
        target, served = self._target(call.request)
        if call.access is not EVERYTHING:
            call.access.check(target, served, call.request.method)
        if not served.counts(call.request.method):
            return self._find(call, target, served)
        self._limit.check()
        going_on = self._find(call, target, served)
        if going_on is not None:
            self._limit.enter()
            call.when_over(self._limit.leave)
        return going_on

    def _span(self, spans: CallSpans, request: pb.CallRequest) -> CallSpan:
        entry = self._references.get(request.ref)
        name = request.class_name if entry is None else entry.type
        target = None if entry is None else entry.target
        return spans.call(request.method, name, request.ref, target)

    def _target(self, request: pb.CallRequest) -> tuple[object, ServedClass]:
        """The object that a call is for, None for a class itself; and the policy."""
        which = request.WhichOneof("target")
        if which == "ref":
            entry = self._references.find(request.incarnation, request.ref)
            return entry.target, entry.served
        if which == "class_name":
            served = self._classes.named(request.class_name)
            return served.singleton, served
        raise ProtocolError("the call names neither a reference nor a class")

    def _find(self, call: Call, target: object, served: ServedClass) -> GoingOn | None:
        """Find the member and check the arguments, in a thread if they are large."""
        given = call.take_arguments()
        if len(given[0]) + len(given[1]) >= large_work.LARGE_WORK:
            return self._find_in_thread(given, call, target, served)
        return self._prepare(given, call, target, served)()

    async def _find_in_thread(
        self, given: Given, call: Call, target: object, served: ServedClass
    ) -> None:
        loop = asyncio.get_running_loop()
        prepare = functools.partial(self._prepare, given, call, target, served, loop)
        begin = await large_work.run(len(given[0]) + len(given[1]), prepare)
        going_on = begin()
        if going_on is not None:
            await going_on

    def _prepare(
        self,
        given: Given,
        call: Call,
        target: object,
        served: ServedClass,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> Begin:
        """Find the member and check the arguments; returns what is then to be done on the loop."""
        args: Sequence[Any]
        args, kwargs = self._values.arguments(call, given, loop)
        method = call.request.method
        if target is None:
            return functools.partial(self._lifetimes.begin, call, served, args, kwargs)
        member = find_member(target, method, served)
        if method in served.copied:
            refuse_arguments(method, args, kwargs)
            return functools.partial(self._copy, call, target, served, member)
        if not is_method(target, method, member):
            refuse_arguments(method, args, kwargs)
            invocation = Invocation(call, method, target, served, member)
            return functools.partial(self._answer, invocation, member)
        # Strict where an engine could be harmed; see signature_of.
        signature = signatures.signature_of(member, strict=served.strict)
        translate = served.translations.get(method)
        if translate is not None or call.span is not None:
            named = GivenArguments(list(signature.signature.parameters), args, kwargs)
            if translate is not None:
                translate(named)
            if call.span is not None and TRACE_HEADERS in signature.signature.parameters:
                call.span.take_headers(target, named)
            args, kwargs = named.args, named.kwargs
        args, kwargs = signature.bind(args, kwargs)
        if loop is not None and not served.strict:
            check_foreign([args, kwargs])
        call.check_inputs()
        invocation = Invocation(call, method, target, served, member, args, kwargs)
        invocation.check_items()
        return functools.partial(self._begin, invocation)

    # --- Carrying out ----------------------------------------------------------

    def _begin(self, invocation: Invocation) -> GoingOn | None:
        served, method = invocation.served, invocation.method
        if method == served.shutdown:
            return self._shut_down(invocation)
        if method in served.immediate and not returns_at_once(invocation.member):
            with self._over(invocation):
                result = invocation.invoke()
            return self._answer(invocation, result)
        return self._run(invocation)

    async def _run(self, invocation: Invocation) -> None:
        """Call a method with arguments that have been checked, and send what it returns."""
        served = invocation.served
        with self._over(invocation):
            if (wrap := served.wrapped.get(invocation.method)) is not None:
                result = await wrap(invocation.target, invocation.invoke())
                await self._reply_in_time(invocation, result)
                return
            try:
                result = await self._invoke(invocation)
            except RuntimeError as error:
                # The thread pools of an engine that was shut down speak for themselves.
                if (death := served.death(invocation.target)) is not None:
                    raise death from error
                raise
        going_on = self._answer(invocation, result)
        if going_on is not None:
            await going_on

    async def _invoke(self, invocation: Invocation) -> object:
        if invocation.call.access is not EVERYTHING:
            CALLER.set(invocation.call.access)
        if invocation.method in invocation.served.progress:
            PROGRESS.set(invocation.call.progress_reporter())
        if returns_at_once(invocation.member):
            result = invocation.invoke()
        else:
            executor = invocation.served.executor(invocation.target)
            result = await in_thread(executor, invocation.invoke)
        return await result if inspect.isawaitable(result) else result

    def _answer(self, invocation: Invocation, result: object) -> GoingOn | None:
        """Send a result, or return what is left to do of it."""
        if isinstance(result, AsyncIterator):
            return self._stream(invocation, result)
        if inspect.isawaitable(result):
            return self._wait(invocation, result)
        return self._reply(invocation, result)

    async def _wait(self, invocation: Invocation, awaited: Awaitable[object]) -> None:
        with self._over(invocation):
            result = await awaited
        await self._reply_in_time(invocation, result)

    async def _stream(self, invocation: Invocation, items: AsyncIterator[object]) -> None:
        call, served = invocation.call, invocation.served
        encoder: ItemEncoding
        if invocation.part is None:
            encoder = self._values.item_encoder(call, cumulative=invocation.cumulative)
        else:
            encoder = PartEncoder(invocation.part, cumulative=invocation.cumulative)
        abort = None if served.abort is None else functools.partial(served.abort, invocation.target)
        try:
            with self._over(invocation):
                last = await drain(items, call.sink, encoder=encoder, abort=abort)
            if call.span is not None:
                call.span.answered(last, whole=invocation.whole, single=invocation.single)
        finally:
            # Of an item that waited for credit, was too large, or could not be encoded to its end.
            self._values.release_unsent(call)

    def _reply(self, invocation: Invocation, result: object) -> GoingOn | None:
        """Send a result, or return what is left to do of it."""
        if (span := invocation.call.span) is not None:
            span.answered(result)
        value = invocation.served.documented(invocation.method, result)
        return self._send(invocation.call, value)

    async def _reply_in_time(self, invocation: Invocation, result: object) -> None:
        going_on = self._reply(invocation, result)
        if going_on is not None:
            await going_on

    def _send(self, call: Call, value: object) -> GoingOn | None:
        if type(value) not in CONSTANTS and is_bulky(value):
            return self._send_bulky(call, value)
        call.return_value(self._values.encode(value, call))
        return None

    async def _send_bulky(self, call: Call, value: object) -> None:
        loop = asyncio.get_running_loop()
        encode = functools.partial(self._values.encode_bulky, value, call, loop)
        encoding = asyncio.ensure_future(large_work.run(large_work.VERY_LARGE, encode))
        try:
            parts = await asyncio.shield(encoding)
        except asyncio.CancelledError:
            # The thread goes on to the end, and holds objects for the client meanwhile.
            encoding.add_done_callback(functools.partial(self._forget, call))
            raise
        call.return_value(parts)

    def _forget(self, call: Call, encoding: asyncio.Future[Any]) -> None:
        """Release what was encoded for a call that is over."""
        encoding.exception()  # nobody else asks for it
        self._values.release_unsent(call)

    def _over(self, invocation: Invocation) -> AbstractContextManager[None]:
        """Stops the call when the engine that it depends on dies meanwhile."""
        watch = self._watches.of(invocation.served.owner(invocation.target))
        return watch.over(invocation.call) if watch else _NOTHING

    async def _copy(self, call: Call, target: object, served: ServedClass, field: object) -> None:
        copy = functools.partial(served.copied[call.request.method], field)
        going_on = self._send(call, await in_thread(served.executor(target), copy))
        if going_on is not None:
            await going_on

    async def _shut_down(self, invocation: Invocation) -> None:
        """End an object's life, to the end even when its caller leaves."""
        ending = self._lifetimes.end(invocation.target, lambda: self._invoke(invocation))
        await self._reply_in_time(invocation, await asyncio.shield(ending))
