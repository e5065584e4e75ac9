"""A call without a client: what is replied to it can be looked at."""

from __future__ import annotations

from collections.abc import Sequence

from python_worker.buffers import Buffer
from python_worker.generated.vllm_bridge.v1 import messages_pb2 as pb
from python_worker.streaming.input_stream import InputStream
from tests.python.support.streams import Places


class Answers(Places):
    """Where the replies of one call go."""

    def send_value(self, parts: Sequence[Buffer], *, built: bool = False) -> None:
        references = self.take_references()
        self.send(pb.CallReply(value=b"".join(parts), references=references, built=built))

    def route_inputs(self, inputs: InputStream) -> None:
        """There are none."""

    @property
    def value(self) -> bytes:
        """The one reply, a value."""
        assert self.outcomes == ["value"]
        return self.replies[0].value

    @property
    def failure(self) -> pb.Failure:
        """The one reply, a failure."""
        assert self.outcomes == ["failure"]
        return self.replies[0].failure
