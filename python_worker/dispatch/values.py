"""Arguments and results as values, whose objects stay here and are sent as references."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from python_worker import codec, failures
from python_worker.buffers import Buffer
from python_worker.codec.encoder import CONSTANTS
from python_worker.codec.item_encoder import ItemEncoder
from python_worker.codec.types import OpenStream, RefParts
from python_worker.dispatch.call import Call
from python_worker.dispatch.references import References
from python_worker.dispatch.served_classes import ServedClass
from python_worker.exceptions import ProtocolError
from python_worker.wire.server_frames import check_size


class Values:
    """Reads the arguments of calls and writes their results.

    Args:
        references: The objects that clients hold.
        served: Gives the policy of an object.
    """

    def __init__(self, references: References, served: Callable[[object], ServedClass]) -> None:
        self._references = references
        self._served = served

    def arguments(self, call: Call) -> tuple[list[Any], dict[str, Any]]:
        """The arguments of a call, as they came.

        Raises:
            ProtocolError: They are not an array and a map.
        """
        given_args, given_kwargs = call.take_arguments()
        if not given_args and not given_kwargs:
            return [], {}
        # Only methods of objects have a use for a stream.
        stream = (lambda: call.open_inputs(self.decode)) if call.request.ref else None
        args = self.decode(given_args, stream) if given_args else []
        kwargs = self.decode(given_kwargs, stream) if given_kwargs else {}
        if not isinstance(args, list) or not isinstance(kwargs, dict):
            raise ProtocolError("args must be an array and kwargs a map")
        return args, kwargs

    def decode(self, data: Buffer, stream: OpenStream | None = None) -> object:
        """The value of some bytes, with the objects that its references name."""
        return codec.decode(data, resolve=self._references.resolve, stream=stream)

    def encode(self, value: object, call: Call) -> list[Buffer]:
        """The bytes of a result in parts; its objects are held for the client.

        Raises:
            EncodeError: Some part cannot be sent. Nothing is held then.
            Unsupported: It is larger than a message may be. Nothing is held then.
        """
        if (constant := CONSTANTS.get(type(value))) is not None:
            return [constant[value]]
        register = functools.partial(self._hold, call=call)
        try:
            encoder = codec.Encoder(register=register, failure_bytes=failures.to_bytes)
            parts = encoder.encode_parts(value)
            check_size(sum(map(len, parts)))
            return parts
        except BaseException:  # what the value's own code raises, too
            self.release_unsent(call)
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
