"""Streams: sends the items of an async generator, and aborts one that is not finished.

A stream is *accepted* when the engine has admitted the request: after everything
that can be wrong with the request, and before the first token. vLLM's ``generate``
does both in the generator's first step, so the engine reports the admission in
between, through the ``Admission`` of the running call (see ``guards.admission``).

Credit bounds the items in flight: without it the stream holds one encoded item
back, and vLLM's collector merges the outputs that arrive meanwhile. No queue of
our own grows.

``drain`` is the ordinary path. While there is credit, outputs take the fast path
(``fast_path``) and do not wait in the collector until the task of their request
is woken.
"""

from __future__ import annotations

import asyncio
import copy
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Any

from python_worker.generated.vllm_bridge.v1 import messages_pb2 as pb
from python_worker.process import large_work
from python_worker.streaming.admission import ADMISSION, Admission
from python_worker.streaming.fast_path import FastPath, ItemEncoding, has_many_logprobs
from python_worker.streaming.reply_sink import ReplySink
from python_worker.wire.server_frames import check_size

logger = logging.getLogger(__name__)

Abort = Callable[[list[str]], Awaitable[None]]


async def drain(
    items: AsyncIterator[object],
    sink: ReplySink,
    *,
    encoder: ItemEncoding,
    abort: Abort | None,
) -> object:
    """Send every item of an async iterator, then the end.

    Args:
        items: What the method returned; it has not started to run.
        sink: Receives the replies.
        encoder: Encodes the items; called once for each, in order.
        abort: Aborts requests by the engine's own ids; None if the stream is
            not a request of an engine: it is accepted at once.

    Returns:
        The last item, which no fast path sends; None if there was none.
    """
    fast_path = FastPath(sink, encoder)
    admission = Admission(sink, fast_path)
    token = ADMISSION.set(admission)
    finished = False
    item: object = None
    try:
        if abort is None:
            admission.accept()
        async for item in items:
            if fast_path.failure is not None:
                raise fast_path.failure
            # Encoded before the next await: vLLM hands out the same mutable
            # lists and metrics with every item.
            if has_many_logprobs(item):
                data = await large_work.run(large_work.VERY_LARGE, encoding(encoder, item))
            else:
                data = encoder.encode(item)
            check_size(len(data))
            if not admission.accepted:
                admission.accept()
            if not sink.take_place():
                await sink.wait_place()
            sink.send_item(data)
            fast_path.caught_up()
        finished = True
        admission.accept()
        sink.send(pb.CallReply(end=pb.End()))
        return item
    except Exception as error:
        failure = fast_path.failure
        if failure is None or failure is error:
            raise
        # Not from ``error``: vLLM raised that from the failure, and the chain would be circular.
        raise failure from failure.__cause__
    finally:
        ADMISSION.reset(token)
        fast_path.close()
        if not finished:
            await asyncio.shield(_abandon(items, admission, abort))


def encoding(encoder: ItemEncoding, item: Any) -> Callable[[], bytes]:
    """The encoding of an item in a thread, while vLLM goes on with the lists that it holds."""
    for output in item.outputs:
        output.token_ids = list(output.token_ids)
        if type(output.logprobs) is list:
            output.logprobs = list(output.logprobs)
    item.metrics = copy.copy(getattr(item, "metrics", None))

    def encode() -> bytes:
        data = encoder.encode(item)
        if item.finished:  # Of any other item, vLLM and the encoder go on with the lists.
            free_logprobs(item)
        return data

    return encode


def free_logprobs(item: Any) -> None:
    """Free the logprobs of an item, one position after the other.

    Half a million objects that are freed together keep the interpreter's lock for 50 ms.
    """
    for positions in (item.prompt_logprobs, *(output.logprobs for output in item.outputs)):
        while type(positions) is list and positions:
            positions.pop()


async def _abandon(items: AsyncIterator[object], admission: Admission, abort: Abort | None) -> None:
    """Abort the engine's requests of an unfinished stream.

    vLLM aborts by itself when ``generate`` is cancelled, but not when it is
    cancelled within ``add_request``, and not when ``encode`` is closed.
    Aborting twice does nothing.
    """
    try:
        if isinstance(items, AsyncGenerator):
            await items.aclose()
        if abort is not None and admission.request_ids:
            await abort(admission.request_ids)
    except Exception as error:
        # The engine may be dead, which ends its requests too. The client gets
        # the failure that ended the stream, not this one.
        logger.debug("aborting %s failed: %s", admission.request_ids, error)
