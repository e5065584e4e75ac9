"""One request twice in vLLM's own output processor: as vLLM yields it, and as it is streamed.

No engine runs: a test says what EngineCore would bring in each turn of the loop.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from copy import copy
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
from vllm.sampling_params import RequestOutputKind, SamplingParams
from vllm.v1.engine import EngineCoreOutput, EngineCoreRequest, FinishReason
from vllm.v1.engine.output_processor import OutputProcessor, RequestOutputCollector
from vllm.v1.engine.parallel_sampling import ParentRequest
from vllm.v1.metrics.stats import IterationStats, PrefillStats
from vllm.v1.outputs import LogprobsLists, SamplingMaskLists

from python_worker.codec.item_encoder import ItemEncoder
from python_worker.streaming.admission import ADMISSION
from python_worker.streaming.stream import drain
from python_worker.streaming.token_tap import TokenTap
from tests.python.support.patches import Consumer, expected
from tests.python.support.streams import Places, wait_turns

PROMPT = (1, 30, 31)
ID, NAME = "req-12345678", "req"

#: Of the loop, in which a stream sends an output by its task: it takes four.
TURNS = 20

Item = dict[str, Any]


@dataclass(frozen=True)
class Step:
    """What EngineCore brings of one completion.

    Attributes:
        tokens: The new token ids.
        index: The completion's.
        finish: Why it ends, as a name of FinishReason.
        stop_reason: The token id that ended it.
        logprobs: Whether logprobs come along.
        masks: The sampling mask of each token, if they come along.
        cached: How many tokens of the prompt were cached; said with the first tokens.
        transfer: Parameters of a connector.
    """

    tokens: tuple[int, ...]
    index: int = 0
    finish: str | None = None
    stop_reason: int | None = None
    logprobs: bool = False
    masks: tuple[tuple[int, ...], ...] = ()
    cached: int | None = None
    transfer: dict[str, Any] | None = None

    def core(self, request_id: str) -> Any:
        """The output, whose lists are its own: vLLM extends them."""
        count = len(self.tokens)
        return EngineCoreOutput(
            request_id,
            list(self.tokens),
            new_logprobs=LogprobsLists(
                np.array([[token, 40] for token in self.tokens]).reshape(count, 2),
                np.array([[-0.5, -1.5]] * count).reshape(count, 2),
                np.ones(count, dtype=int),
            )
            if self.logprobs
            else None,
            new_sampling_mask=SamplingMaskLists(
                np.array([token for mask in self.masks for token in mask]),
                np.cumsum([0, *map(len, self.masks)]),
            )
            if self.masks
            else None,
            finish_reason=None if self.finish is None else FinishReason[self.finish],
            stop_reason=self.stop_reason,
            prefill_stats=None
            if self.cached is None
            else PrefillStats(num_cached_tokens=self.cached),
            kv_transfer_params=None if self.transfer is None else dict(self.transfer),
        )


class Side:
    """A request in an output processor, and how many outputs of it were made."""

    def __init__(
        self,
        tokenizer: Any,
        params: Any,
        *,
        log_stats: bool,
        stream_interval: int,
        prompt: list[int],
    ) -> None:
        self.log_stats = log_stats
        self.processor = OutputProcessor(
            tokenizer, log_stats=log_stats, stream_interval=stream_interval
        )
        self.collector = RequestOutputCollector(params.output_kind, ID)
        self.request = request = EngineCoreRequest(
            ID, list(prompt), None, params, None, 100.0, None, None, None, external_req_id=NAME
        )
        if params.n == 1:
            self.processor.add_request(request, "prompt", None, 0, self.collector)
        else:
            parent = ParentRequest(request)
            for index in range(params.n):
                child = copy(request)
                child.request_id, child.sampling_params = parent.get_child_info(index)
                self.processor.add_request(child, "prompt", parent, index, self.collector)
        self.states = {
            state.request_index: state for state in self.processor.request_states.values()
        }
        self.made: Counter[int] = Counter()
        for state in self.states.values():
            self._count(state)

    def _count(self, state: Any) -> None:
        ordinary = state._new_request_output

        def count(*args: Any, **kwargs: Any) -> Any:
            self.made[state.request_index] += 1
            return ordinary(*args, **kwargs)

        state._new_request_output = count

    def process(self, steps: tuple[Step, ...], turn: int, weight_version: str | None) -> list[str]:
        stats = IterationStats() if self.log_stats else None
        if stats is not None:
            stats.iteration_timestamp = 100.5 + turn
        outputs = [step.core(self.states[step.index].request_id) for step in steps]
        result = self.processor.process_outputs(outputs, float(turn), stats, weight_version)
        assert result.request_outputs == []
        return list(result.reqs_to_abort)


class BothWays:
    """A request that a test brings tokens to; it compares what comes of them.

    Args:
        tokenizer: vLLM's.
        log_stats: Whether outputs have metrics.
        stream_interval: The engine's.
        places: How much credit the stream has.
        prompt: Its ids.
        params: Of the request; ``n`` and ``kind``, the name of the output kind, among them.
    """

    def __init__(
        self,
        tokenizer: Any,
        *,
        log_stats: bool = False,
        stream_interval: int = 1,
        places: int = 1000,
        kind: str = "DELTA",
        prompt: Sequence[int] = PROMPT,
        **params: Any,
    ) -> None:
        def side() -> Side:
            return Side(
                tokenizer,
                SamplingParams(output_kind=RequestOutputKind[kind], **params),
                log_stats=log_stats,
                stream_interval=stream_interval,
                prompt=list(prompt),
            )

        self.delta = kind == "DELTA"
        self.vllm, self.ours = side(), side()
        self.several = len(self.vllm.states) > 1
        self.sink = Places(places)
        self.encoder = ItemEncoder(cumulative=kind == "CUMULATIVE")
        self.consumer = Consumer()
        self.yielded: list[Item] = []
        self.received: list[Item] = []
        self.aborted: list[str] = []
        self.turns = 0
        self.task = asyncio.create_task(
            drain(self._generate(), self.sink, encoder=self.encoder, abort=self._abort)
        )

    async def _generate(self) -> AsyncIterator[Any]:
        """The rest of AsyncLLM.generate."""
        admission = ADMISSION.get()
        assert admission is not None
        collector = self.ours.collector
        tap = TokenTap(self.ours.processor, None)
        admission.collect(collector, SimpleNamespace(_token_tap=tap))
        finished = False
        while not finished:
            output = collector.get_nowait() or await collector.get()
            finished = output.finished
            yield output

    async def _abort(self, request_ids: list[str]) -> None:
        self.aborted += self.ours.processor.abort_requests(request_ids, internal=True)

    async def turn(
        self, *steps: Step, weight_version: str | None = None
    ) -> tuple[list[Item], list[Item]]:
        """A turn of the loop, which brings these; returns what vLLM yields and what was received.

        Of one completion each step is one of EngineCore's, and the outputs are taken one by one.
        """
        if self.turns == 0:
            await wait_turns(TURNS)  # The request is taken over.
        self.turns += 1
        before = len(self.yielded), len(self.received)
        for group in [steps] if self.several else [(step,) for step in steps]:
            to_abort = self.vllm.process(group, self.turns, weight_version)
            if not self.several:
                self._take()
            assert self.ours.process(group, self.turns, weight_version) == to_abort
        if self.several:
            self._take()
        await self.settle()
        return self.yielded[before[0] :], self.received[before[1] :]

    async def settle(self) -> None:
        """Let the stream send what it can, and read it."""
        await wait_turns(TURNS)
        for data in self.sink.items[len(self.received) :]:
            self.received.append(self.consumer.apply(data))

    def _take(self) -> None:
        if (output := self.vllm.collector.get_nowait()) is not None:
            # Taken down at once: the metrics and the lists of ids go on growing.
            self.yielded.append(expected(output))

    async def equal_turn(self, *steps: Step, weight_version: str | None = None) -> None:
        """A turn in which the same is received; when it is merged, where that is not one output.

        Of several completions that is where one of them has several steps in it, or a connector's
        parameters.
        """
        yielded, received = await self.turn(*steps, weight_version=weight_version)
        twice = len({step.index for step in steps}) < len(steps)
        if self.several and received and (twice or any(step.transfer for step in steps)):
            received = [self.merged(received)]
        assert received == yielded

    def each(self, *tokens: int, **others: Any) -> list[Step]:
        """Steps that bring the same of every completion."""
        return [Step(tokens, index, **others) for index in self.ours.states]

    async def equal_turns(self, tokens: list[int]) -> None:
        """A turn for each of these tokens, which every completion gets."""
        for token in tokens:
            await self.equal_turn(*self.each(token))

    def merged(self, items: list[Item]) -> Item:
        """``RequestOutput.add``, on items that were received."""
        whole = items[0] | {"outputs": list(items[0]["outputs"])}
        for item in items[1:]:
            whole["finished"] |= item["finished"]
            if item["outputs"][0]["index"] == whole["outputs"][0]["index"]:
                # vLLM's are the object of the first completion, which later steps have altered.
                whole["metrics"] = item["metrics"]
            for name in ("kv_transfer_params", "ec_transfer_params"):
                whole[name] = item[name]
            for output in item["outputs"]:
                places = [o["index"] for o in whole["outputs"]]
                if output["index"] not in places:
                    whole["outputs"].append(output)
                    continue
                place = places.index(output["index"])
                mine = whole["outputs"][place]
                whole["outputs"][place] = extended(mine, output) if self.delta else output
        return whole

    async def abort(self) -> None:
        """End the request from outside, as ``AsyncLLM.abort`` does."""
        self.vllm.processor.abort_requests([NAME], internal=False)
        self._take()
        self.ours.processor.abort_requests([NAME], internal=False)
        await self.settle()

    def check_left_as_it_was(self) -> None:
        """Nothing of ours is in vLLM's objects, and the engine knows the request no more."""
        assert self.task.done()
        assert self.ours.processor.request_states == {}
        # Of a request of several completions vLLM keeps the parent when it is aborted by its name.
        assert self.ours.processor.parent_requests.keys() == (
            self.vllm.processor.parent_requests.keys()
        )
        assert "put" not in vars(self.ours.collector)
        for index, state in self.ours.states.items():
            assert vars(state).keys() == vars(self.vllm.states[index]).keys()

    def check_ended(self) -> None:
        """As ``check_left_as_it_was``; and the client was told of the end."""
        self.check_left_as_it_was()
        self.task.result()
        assert self.sink.outcomes[-1] == "end"
        assert self.received[-1]["finished"]
        assert self.aborted == []


def extended(before: Item, output: Item) -> Item:
    """What ``RequestOutput.add`` makes of two parts of one completion."""
    mask = output["sampling_mask"]
    if mask is not None and before["sampling_mask"] is not None:
        ids = [*before["sampling_mask"]["token_ids"], *mask["token_ids"]]
        mask = mask | {"token_ids": ids}
    logprobs = before["logprobs"]
    if output["logprobs"]:
        logprobs = [*logprobs, *output["logprobs"]]
    return output | {
        "text": before["text"] + output["text"],
        "token_ids": [*before["token_ids"], *output["token_ids"]],
        "logprobs": logprobs,
        "sampling_mask": mask or before["sampling_mask"],
    }
