"""Arguments and results as values, whose objects stay here and are sent as references."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from typing import Any

from python_worker import codec, failures
from python_worker.buffers import Buffer
from python_worker.codec.bulk import check_values, owned
from python_worker.codec.depth import MAX_DEPTH
from python_worker.codec.encoder import CONSTANTS
from python_worker.codec.item_encoder import ItemEncoder
from python_worker.codec.large_values import ValueCount, check_names
from python_worker.codec.types import OpenStream, RefParts
from python_worker.codec.value_paths import check_answer
from python_worker.dispatch.call import Call
from python_worker.dispatch.references import References
from python_worker.dispatch.served_classes import ServedClass
from python_worker.exceptions import ProtocolError
from python_worker.process import large_work
from python_worker.wire.server_frames import check_size

Given = tuple[Buffer, Buffer]
"""The bytes of the positional arguments of a call, and of those by name."""


class Values:
    """Reads the arguments of calls and writes their results.

    Args:
        references: The objects that clients hold.
        served: Gives the policy of an object.
    """

    def __init__(self, references: References, served: Callable[[object], ServedClass]) -> None:
        self._references = references
        self._served = served

    def arguments(
        self, call: Call, given: Given, loop: asyncio.AbstractEventLoop | None = None
    ) -> tuple[list[Any], dict[str, Any]]:
        """The arguments of a call, as they came.

        Args:
            call: The call.
            given: Their bytes.
            loop: The worker's, where this runs in a thread.

        Raises:
            LimitExceeded: They are too large or nested too deep.
            ProtocolError: They are not an array and a map.
        """
        given_args, given_kwargs = given
        if not given_args and not given_kwargs:
            return [], {}
        # Only methods of objects have a use for a stream.
        stream: OpenStream | None = None
        if call.request.ref:
            stream = functools.partial(call.open_inputs, self.decode)
            if loop is not None:
                stream = functools.partial(large_work.on_loop, loop, stream)
        if loop is not None:
            check_names(memoryview(given_kwargs))
        count = None if loop is None else ValueCount()
        args = self.decode(given_args, stream, "args", count) if given_args else []
        kwargs = self.decode(given_kwargs, stream, "kwargs", count) if given_kwargs else {}
        if not isinstance(args, list) or not isinstance(kwargs, dict):
            raise ProtocolError("args must be an array and kwargs a map")
        return args, kwargs

    def decode(
        self,
        data: Buffer,
        stream: OpenStream | None = None,
        root: str = "value",
        count: ValueCount | None = None,
    ) -> object:
        """The value of some bytes, with the objects that its references name."""
        resolve = self._references.resolve
        return codec.decode(data, resolve=resolve, stream=stream, root=root, count=count)

    def encode_bulky(
        self, value: object, call: Call, loop: asyncio.AbstractEventLoop
    ) -> list[Buffer]:
        """The bytes of a large result, which nothing can change any more; for a thread.

        Raises:
            EncodeError: As for ``encode``.
            Unsupported: As for ``encode``, or it holds too many values.
        """
        check_answer(value)  # also finds a value that contains itself, whose values have no end
        check_values(value)
        return owned(self.encode(value, call, loop))

    def encode(
        self, value: object, call: Call, loop: asyncio.AbstractEventLoop | None = None
    ) -> list[Buffer]:
        """The bytes of a result in parts; its objects are held for the client.

        Args:
            value: The result.
            call: Whose result it is; its client holds the objects.
            loop: The worker's, where this runs in a thread.

        Raises:
            EncodeError: Some part cannot be sent. Nothing is held then.
            Unsupported: It is larger than a message may be. Nothing is held then.
        """
        if (constant := CONSTANTS.get(type(value))) is not None:
            return [constant[value]]
        register: Callable[[object], RefParts] = functools.partial(self._hold, call=call)
        if loop is not None:
            register = functools.partial(self._hold_on_loop, loop, call=call)
        try:
            encoder = codec.Encoder(register=register, failure_bytes=failures.to_bytes)
            parts = encoder.encode_parts(value)
            size = sum(map(len, parts))
            check_size(size)
            if size > MAX_DEPTH:  # each level takes a byte at least
                check_answer(value)
            return parts
        except BaseException:  # what the value's own code raises, too
            release = functools.partial(self.release_unsent, call)
            _ = release() if loop is None else large_work.on_loop(loop, release)
            raise

    def item_encoder(self, call: Call, *, cumulative: bool) -> ItemEncoder:
        """The encoder of one stream's items, whose objects are held for the client.

        When the stream is over, ``release_unsent`` has to be called.
        """
        return ItemEncoder(
            register=functools.partial(self._hold, call=call),
            failure_bytes=failures.to_bytes,
            cumulative=cumulative,
        )

    def release_unsent(self, call: Call) -> None:
        """Release the references of a value or item that was encoded and not sent.

        The client never hears of them, so it cannot release them.
        """
        for ref_id in call.sink.take_references():
            self._references.release(ref_id, call.holder)

    def _hold(self, target: object, call: Call) -> RefParts:
        ref = self._references.hold(target, call.holder, served=self._served(target))
        call.sink.add_reference(ref.id)
        return ref

    def _hold_on_loop(
        self, loop: asyncio.AbstractEventLoop, target: object, call: Call
    ) -> RefParts:
        return large_work.on_loop(loop, functools.partial(self._hold, target, call))
