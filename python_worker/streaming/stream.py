"""Streams: an async generator becomes items, and an unfinished one is aborted.

A stream is *accepted* when the engine has taken the request, which is before
the first token and after everything that can be wrong with the request. vLLM's
``generate`` does both in the generator's first step, so the engine tells us in
between through the ``Admission`` of the running call (see ``guard``).

Credit bounds what is on its way: without it the stream holds one encoded item
back, and vLLM's collector merges what the engine makes meanwhile. No queue of
our own grows.

While there is credit, an output does not wait in the collector for its task to
be woken: see ``shortcut``.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable

from python_worker.generated.vllm_bridge.v1 import messages_pb2 as pb
from python_worker.streaming.admission import ADMISSION, Admission
from python_worker.streaming.fast_path import FastPath, ItemEncoding
from python_worker.streaming.reply_sink import ReplySink
from python_worker.wire.server_frames import check_size

logger = logging.getLogger(__name__)

Abort = Callable[[list[str]], Awaitable[None]]


async def drain(
    items: AsyncIterator[object],
    outlet: ReplySink,
    *,
    encoder: ItemEncoding,
    abort: Abort | None,
) -> None:
    """Send every item of an async iterator, then the end.

    Args:
        items: What the method returned; nothing of it has run yet.
        outlet: Where replies go.
        encoder: Turns items into their bytes, called once for each in order.
        abort: Aborts requests by the engine's own ids; None where the stream
            is no request of an engine, which is then accepted at once.
    """
    admission = Admission(outlet)
    admission.shortcut = shortcut = FastPath(outlet, encoder)
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
            data = encoder.encode(item)
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
    except Exception as error:
        failure = shortcut.failure
        if failure is None or failure is error:
            raise
        # Not from the error: vLLM has that from the failure, and it would be a circle.
        raise failure from failure.__cause__
    finally:
        ADMISSION.reset(token)
        shortcut.close()
        if not finished:
            await asyncio.shield(_abandon(items, admission, abort))


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
