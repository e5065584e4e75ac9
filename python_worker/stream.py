"""Streams: an async generator becomes items, and an unfinished one is aborted.

A stream is *accepted* when the engine has taken the request, which is before
the first token and after everything that can be wrong with the request. vLLM's
``generate`` does both in the generator's first step, so the engine tells us in
between through the ``Admission`` of the running call (see ``engine``).

Credit bounds what is on its way: without it the stream holds one encoded item
back, and vLLM's collector merges what the engine makes meanwhile. No queue of
our own grows.

While there is credit, an output does not wait in the collector for its task to
be woken: see ``Shortcut``.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextvars import ContextVar
from typing import Any, Protocol

from python_worker.failures import Unsupported
from python_worker.generated.vllm_bridge.v1 import messages_pb2 as pb
from python_worker.settings import MAX_VALUE_BYTES

logger = logging.getLogger(__name__)

Abort = Callable[[list[str]], Awaitable[None]]


class Outlet(Protocol):
    """Where the replies of one call go."""

    def send(self, reply: pb.CallReply) -> None:
        """Send a reply; it does not wait."""

    def send_item(self, item: bytes) -> None:
        """Send an item, for which a place was taken."""

    def take_place(self) -> bool:
        """Take a place for one more item, if there is one."""

    async def wait_place(self) -> None:
        """Wait until there is a place for one more item, and take it."""


class Admission:
    """What the engine said about the request of one call.

    Attributes:
        accepted: Whether the client has been told that items will follow.
        request_ids: The engine's own ids of the request, children included.
            The client's id will not do: two requests may share it, and
            aborting one must not abort the other.
        shortcut: For the outputs of the request, where its call streams them.
    """

    shortcut: Shortcut | None = None

    def __init__(self, outlet: Outlet) -> None:
        self._outlet = outlet
        self.accepted = False
        self.request_ids: list[str] = []

    def note(self, request_id: str) -> None:
        """Remember an id under which the engine now knows the request."""
        if request_id not in self.request_ids:
            self.request_ids.append(request_id)

    def accept(self) -> None:
        """Tell the client, once, that the request is taken."""
        if not self.accepted:
            self.accepted = True
            self._outlet.send(pb.CallReply(accepted=pb.Accepted()))

    def collect(self, collector: Any) -> None:
        """The request is taken; its outputs are going to be put into ``collector``."""
        self.note(collector.request_id)
        self.accept()
        # Of several completions vLLM merges what one step has brought: one item for
        # all of them costs less than a shortcut for each.
        if self.shortcut is not None and len(self.request_ids) == 1:
            self.shortcut.open(collector)


ADMISSION: ContextVar[Admission | None] = ContextVar("admission", default=None)
"""The admission of the call that the current task runs."""


class Shortcut:
    """Sends outputs in the turn in which the engine puts them into their collector.

    vLLM's collector wakes the task of its request for every output, which then
    goes down to ``generate`` and up again, only to encode and send. At 256 streams
    that took 10 of the 35 µs that a token cost the worker, of which 20 are vLLM's.
    So ``put`` sends, as long as the output before is sent and there is credit. All
    else takes the long way: what finds no credit, the last output, and failures.

    Args:
        outlet: Where the items go.
        encode: As for ``drain``.

    Attributes:
        failure: Why an output could not be sent; it took the long way.
    """

    def __init__(self, outlet: Outlet, encode: Callable[[object], bytes]) -> None:
        self._outlet = outlet
        self._encode = encode
        self._collector: Any = None
        self._keep: Callable[[Any], None] = lambda output: None
        self._behind = False
        self.failure: Exception | None = None

    def open(self, collector: Any) -> None:
        """Take over what is put into a collector; one output may be in it."""
        self._collector = collector
        self._keep = collector.put
        self.caught_up()
        collector.put = self._put

    def caught_up(self) -> None:
        """What came by the long way is sent, except what the collector holds now."""
        self._behind = self._collector is not None and self._collector.output is not None

    def close(self) -> None:
        """Leave the collector as it was; also ends the circle of references."""
        if self._collector is not None:
            del self._collector.put
            self._collector = None

    def _put(self, output: Any) -> None:
        # This runs within vLLM's loop over the outputs of a step: an exception would end it.
        if not (
            self._behind
            or isinstance(output, Exception)
            or output.finished
            or not self._outlet.take_place()
        ):
            try:
                data = self._encode(output)
                if len(data) > MAX_VALUE_BYTES:
                    check_size(len(data))
            except Exception as error:
                self.failure = error
            else:
                self._outlet.send_item(data)
                return
        self._behind = True
        self._keep(output)


async def drain(
    items: AsyncIterator[object],
    outlet: Outlet,
    *,
    encode: Callable[[object], bytes],
    abort: Abort | None,
) -> None:
    """Send every item of an async iterator, then the end.

    Args:
        items: What the method returned; nothing of it has run yet.
        outlet: Where replies go.
        encode: Turns an item into its bytes, called once for each in order.
        abort: Aborts requests by the engine's own ids; None where the stream
            is no request of an engine, which is then accepted at once.
    """
    admission = Admission(outlet)
    admission.shortcut = shortcut = Shortcut(outlet, encode)
    token = ADMISSION.set(admission)
    finished = False
    try:
        if abort is None:
            admission.accept()
        async for item in items:
            if shortcut.failure is not None:
                raise shortcut.failure
            # Encoded before the next await: vLLM hands out the same mutable
            # lists and metrics with every item.
            data = encode(item)
            if len(data) > MAX_VALUE_BYTES:
                check_size(len(data))
            if not admission.accepted:
                admission.accept()
            if not outlet.take_place():
                await outlet.wait_place()
            outlet.send_item(data)
            shortcut.caught_up()
        finished = True
        admission.accept()
        outlet.send(pb.CallReply(end=pb.End()))
    finally:
        ADMISSION.reset(token)
        shortcut.close()
        if not finished:
            await asyncio.shield(_abandon(items, admission, abort))


def check_size(size: int) -> None:
    """Refuse a value that no message can hold."""
    if size > MAX_VALUE_BYTES:
        raise Unsupported(
            f"the value has {size} bytes; a message holds at most {MAX_VALUE_BYTES}",
            bytes=size,
            limit=MAX_VALUE_BYTES,
        )


async def _abandon(items: AsyncIterator[object], admission: Admission, abort: Abort | None) -> None:
    """Free everything an unfinished stream has in the engine.

    vLLM aborts by itself when ``generate`` is cancelled, but not when the
    cancel falls into the middle of ``add_request``, and ``encode`` not when it
    is closed. Aborting twice does nothing.
    """
    try:
        if isinstance(items, AsyncGenerator):
            await items.aclose()
        if abort is not None and admission.request_ids:
            await abort(admission.request_ids)
    except Exception as error:
        # The engine may be dead, which ends its requests too. The client gets
        # the failure that led here, not this one.
        logger.debug("aborting %s failed: %s", admission.request_ids, error)
