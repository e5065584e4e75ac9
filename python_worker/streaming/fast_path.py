"""The fast path of a stream: outputs are encoded in ``collector.put`` and sent at once.

vLLM's collector wakes the task of its request for every output, which then goes down to
``generate`` and up again, only to encode and send. At 256 streams that took 10 of the 35 µs that a
token cost the worker, of which 20 are vLLM's. So ``put`` sends, as long as the previous output is
sent and there is credit. Everything else takes the ordinary path (``stream.drain``): outputs
without credit, the last output, and failures.

Of several completions vLLM merges the outputs of one step into one, as long as the task of the
request has not woken. The fast path does the same until the end of the event loop's turn.

Outputs that bring only a token need not even be made: see ``token_tap``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from typing import Any, Final, Protocol

from python_worker.streaming.reply_sink import ReplySink
from python_worker.streaming.token_tap import RequestStates, tap_of
from python_worker.wire.server_frames import check_size

MANY_LOGPROBS: Final = 4096
"""Each takes a microsecond."""


class ItemEncoding(Protocol):
    """Makes bytes of the items of one stream, in order; see ``ItemEncoder``."""

    cumulative: bool
    plain: bool

    def encode(self, item: Any) -> bytes:
        """Encode an item."""

    def encode_completion(self, index: int, text: str, token_ids: Sequence[int]) -> bytes:
        """Encode what a token adds to one completion."""

    def encode_token(self, index: int, text: str, token_ids: Sequence[int], metrics: Any) -> bytes:
        """Encode an item with one completion, in which nothing else is new but the metrics."""

    def encode_completions(self, item: Any) -> dict[int, bytes] | None:
        """Encode the completions of an item, if nothing else is new in it."""

    def encode_metrics(self, metrics: Any) -> bytes:
        """Encode what is new of the metrics."""

    def encode_plain(self, completions: Collection[bytes], changes: bytes) -> bytes:
        """Encode an item that holds only that."""


class FastPath:
    """The fast path of one stream.

    Args:
        sink: Receives the items.
        encoder: Encodes the stream's items; the ordinary path uses it too.

    Attributes:
        failure: Why an output could not be sent; the ordinary path then ends the stream.
    """

    def __init__(self, sink: ReplySink, encoder: ItemEncoding) -> None:
        self._sink = sink
        self._encoder = encoder
        self._collector: Any = None
        self._states: RequestStates | None = None
        self._keep: Callable[[Any], None] = lambda output: None
        self._several = False
        self._behind = False
        # Several completions are gathered until the end of the turn: as one merged output, or as
        # the bytes of plain completions by index, with the bytes of the first one's metrics, which
        # vLLM changes with the next step. Credit for one item is taken when gathering begins.
        self._merged: Any = None
        self._plain: dict[int, bytes] = {}
        self._changes = b""
        self.failure: Exception | None = None

    def open(self, collector: Any, engine: Any) -> None:
        """Take over a collector, which may hold one output already."""
        self._collector = collector
        self._states = tap_of(engine).states(collector.request_id)
        self._several = self._states.several
        self._keep = collector.put
        self.caught_up()
        collector.put = self._put

    def caught_up(self) -> None:
        """The ordinary path has sent every output, except the one that the collector holds now."""
        self._behind = self._collector is not None and self._collector.output is not None

    def close(self) -> None:
        """Restore the collector and the states; outputs that were not sent are dropped."""
        if self._collector is not None:
            del self._collector.put
            self._collector = None
        if self._states is not None:
            self._states.restore()
            self._states = None
        self._merged = None
        self._plain.clear()

    # The methods below run within vLLM's loop over the outputs of a step: an exception would end
    # that loop.

    def _put(self, output: Any) -> None:
        if self._behind or isinstance(output, Exception) or has_many_logprobs(output):
            self._settle()
            self._behind = True
            self._keep(output)
        elif output.finished:
            self._finish(output)
        elif self._several:
            self._gather(output)
        elif self._sink.take_place():
            self._send(output)
        else:
            self._behind = True
            self._keep(output)

    def _send(self, output: Any) -> None:
        try:
            data = self._encoder.encode(output)
            check_size(len(data))
        except Exception as error:
            self._fail(error, output)
            return
        self._sink.send_item(data)
        if self._encoder.plain and self._states is not None:
            for completion in output.outputs:
                self._states.divert(completion.index, self, cumulative=self._encoder.cumulative)

    def _fail(self, failure: Exception, last: object) -> None:
        """Have the ordinary path end the stream; ``last`` wakes its task."""
        self.failure = failure
        self._behind = True
        self._keep(last)

    # -- Several completions -------------------------------------------------------------------

    def _gather(self, output: Any) -> None:
        if self._plain:
            if self._join(output):
                return
            self._settle()
        if self._merged is not None:
            self._merged.add(output, aggregate=self._collector.aggregate)
        elif not self._behind and self._sink.take_place():
            self._merged = output
            asyncio.get_running_loop().call_soon(self._settle)
        else:
            self._behind = True
            self._keep(output)

    def _join(self, output: Any) -> bool:
        """Add an output to the plain tokens of its turn, if only its completions are new."""
        if any(completion.index in self._plain for completion in output.outputs):
            return False
        try:
            completions = self._encoder.encode_completions(output)
        except Exception as error:
            self._fail(error, output)
            return True
        if not completions:
            return False
        self._plain.update(completions)
        return True

    def _finish(self, output: Any) -> None:
        """Have the ordinary path send the last output, merged with those of the same turn."""
        self._behind = True
        if self._merged is not None:
            self._sink.return_place()
            merged, self._merged = self._merged, None
            self._keep(merged)
        self._settle()
        self._keep(output)

    def _settle(self) -> None:
        """Send what was gathered."""
        if self._merged is not None:
            output, self._merged = self._merged, None
            self._send(output)
        elif self._plain:
            completions, self._plain = self._plain, {}
            self._send_plain(completions.values(), self._changes)

    # -- Tokens whose outputs are not made; see ``token_tap.TokenReceiver`` ------------------------

    def admit(self, index: int) -> bool:
        """Whether a token of this completion is taken now."""
        # After an output that was not plain, the next has to be made, to see what has changed back.
        if self._behind or not self._encoder.plain:
            return False
        if not self._several:
            return self._sink.take_place()
        if self._merged is not None:
            return False  # Its output will be merged into that one.
        if index in self._plain:
            self._settle()
        if self._plain:
            return True
        # Without credit the output is made, and waits in the collector.
        if self._behind or not self._encoder.plain or not self._sink.take_place():
            return False
        asyncio.get_running_loop().call_soon(self._settle)
        return True

    def take(self, index: int, text: str, token_ids: Sequence[int], metrics: Any) -> None:
        """Take a token that was admitted."""
        if not self._several:
            try:
                data = self._encoder.encode_token(index, text, token_ids, metrics)
                check_size(len(data))
            except Exception as error:
                self._fail(error, error)
            else:
                self._sink.send_item(data)
            return
        try:
            completion = self._encoder.encode_completion(index, text, token_ids)
            if not self._plain:
                self._changes = self._encoder.encode_metrics(metrics)
        except Exception as error:
            self._fail(error, error)
            return
        self._plain[index] = completion

    def _send_plain(self, completions: Collection[bytes], changes: bytes) -> None:
        try:
            data = self._encoder.encode_plain(completions, changes)
            check_size(len(data))
        except Exception as error:
            self._fail(error, error)
        else:
            self._sink.send_item(data)


def has_many_logprobs(item: object) -> bool:
    """Whether an item has so many logprobs that they are encoded in a thread."""
    outputs = getattr(item, "outputs", None)
    if type(outputs) is not list:  # of pooling
        return False
    found = _many(getattr(item, "prompt_logprobs", None))
    for output in outputs:
        if (logprobs := getattr(output, "logprobs", None)) is not None:
            found += _many(logprobs)
    return found >= MANY_LOGPROBS


def _many(positions: object) -> int:
    """How many logprobs a list of positions holds, by the last of them."""
    if type(positions) is not list or not positions or not positions[-1]:
        return 0
    return len(positions) * len(positions[-1])
