"""Requests inside of the fake engine: from tokens to items, as vLLM's output processor does it.

Each request has a collector, a single slot that merges what its consumer has not yet taken. With
``n`` above 1 a request has as many children that share a collector: each child's outputs go out
by themselves, except that FINAL_ONLY waits for all.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from python_worker.testing.fake_engine.pieces import Piece
from python_worker.testing.fake_engine.script import Behaviour
from python_worker.testing.fake_vllm.array import array
from python_worker.testing.fake_vllm.tokenizer import FIRST_MADE, STRIDE, FakeTokenizer
from python_worker.testing.fake_vllm.types import (
    CompletionOutput,
    Logprob,
    LoRARequest,
    PoolingOutput,
    PoolingParams,
    PoolingRequestOutput,
    RequestOutput,
    RequestOutputKind,
    RequestStateStats,
    SamplingParams,
)

Output = RequestOutput | PoolingRequestOutput

#: Every token is this probable: exactly representable, so that sums are exact.
LOGPROB = -0.5


class RequestOutputCollector:
    """The slot between engine and consumer; the interface is vLLM's.

    Args:
        output_kind: What items hold; deltas are merged, states replaced.
        request_id: The engine's own id of the request.
        on_taken: Called when the consumer takes an output.
    """

    def __init__(
        self,
        output_kind: RequestOutputKind,
        request_id: str,
        *,
        on_taken: Callable[[], None] = lambda: None,
    ) -> None:
        self._on_taken = on_taken
        self.aggregate = output_kind == RequestOutputKind.DELTA
        self.request_id = request_id
        self.output: Output | BaseException | None = None
        self.ready = asyncio.Event()

    @property
    def taken(self) -> bool:
        """Whether the consumer has everything that was put."""
        return self.output is None

    def put(self, output: Output | BaseException) -> None:
        """Puts an output, merging it with one that was not taken yet."""
        if isinstance(self.output, RequestOutput) and isinstance(output, RequestOutput):
            self.output.add(output, aggregate=self.aggregate)
        else:
            self.output = output
            self.ready.set()

    async def get(self) -> Output:
        """Waits for an output and takes it; raises it if it is an exception."""
        while self.output is None:
            await self.ready.wait()
        output = self.get_nowait()
        assert output is not None
        return output

    def get_nowait(self) -> Output | None:
        """Takes the output if there is one."""
        output, self.output = self.output, None
        self.ready.clear()
        if output is not None:
            self._on_taken()
        if isinstance(output, BaseException):
            raise output
        return output

    def close(self) -> None:
        """Does nothing: vLLM ends the input stream of a request here."""


@dataclass
class EngineCoreRequest:
    """What is sent to the engine: one completion of one call.

    Attributes:
        request_id: The engine's own: the caller's, a dash and eight hex digits.
        external_req_id: The caller's; several requests may have the same.
    """

    request_id: str
    external_req_id: str
    prompt: str | None
    prompt_token_ids: list[int]
    params: SamplingParams | PoolingParams
    behaviour: Behaviour
    lora_request: LoRARequest | None = None

    def child(self, index: int) -> EngineCoreRequest:
        """Returns the request for one of ``n`` completions."""
        return replace(self, request_id=f"{index}_{self.request_id}")


@dataclass
class Parent:
    """The request whose ``n`` completions its children make.

    Attributes:
        request_id: The engine's own; the children's are ``0_ID``, ``1_ID`` and so on.
        running: The ids of the children that have not finished.
        finals: The finished completions, kept for FINAL_ONLY.
    """

    request_id: str
    running: set[str] = field(default_factory=set)
    finals: dict[int, CompletionOutput] = field(default_factory=dict)


class State:
    """One completion on its way.

    Args:
        request: What is to be done.
        index: Which of the ``n`` completions it is.
        parent: What it is a part of when ``n`` is above 1.
        queue: Where its outputs go.
        tokenizer: Knows the text of tokens.

    Attributes:
        due: When it makes its next token, by ``time.monotonic``.
    """

    def __init__(
        self,
        request: EngineCoreRequest,
        *,
        index: int,
        parent: Parent | None,
        queue: RequestOutputCollector,
        tokenizer: FakeTokenizer,
    ) -> None:
        self.request = request
        self.behaviour = request.behaviour
        self.queue = queue
        self.due = 0.0
        self._index = index
        self._parent = parent
        self._tokenizer = tokenizer
        self._stats = RequestStateStats(arrival_time=time.time(), queued_ts=time.monotonic())
        self._token_ids: list[int] = []
        self._logprobs: list[dict[int, Logprob]] = []
        self._text = ""
        self._cumulative = 0.0
        self._sent = (0, 0)
        if parent is not None:
            parent.running.add(request.request_id)

    @property
    def parent_id(self) -> str | None:
        """The engine's own id of the request that this is one of ``n`` completions of."""
        return None if self._parent is None else self._parent.request_id

    @property
    def made(self) -> int:
        """How many tokens there are."""
        return len(self._token_ids)

    def schedule(self, now: float) -> None:
        """Sets when the next token is due: at the next multiple of the delay, so that all meet."""
        delay = self.behaviour.delay
        self.due = (now // delay + 1) * delay if delay > 0 else now

    def step(self) -> bool:
        """Makes one token, or the whole of a pooling result; tells whether that was the last."""
        if isinstance(self.request.params, PoolingParams):
            self.queue.put(self._pool(self.request.params))
            return True
        limits = [self.behaviour.tokens, self.request.params.max_tokens]
        if self.behaviour.say is not None:
            limits.append(len(self.behaviour.say))
        count = min(limit for limit in (*limits, STRIDE) if limit is not None)
        # One that was held at its last token has only to end.
        if self.made < count:
            self._make_token(self.request.params)
        interrupted = self.behaviour.interrupts and self.made == self.behaviour.after
        if self.made < count or interrupted:
            self._emit(None)
            return False
        by_itself = "length" if count == self.request.params.max_tokens else "stop"
        self._emit(self.behaviour.finish_reason or by_itself)
        return True

    def abort(self) -> None:
        """Puts the last output of a request that is given up."""
        if isinstance(self.request.params, PoolingParams):
            output = self._pool(self.request.params)
            output.outputs.data = output.outputs.data[:0]
            self.queue.put(output)
        else:
            self._emit("abort")

    def _make_token(self, params: SamplingParams) -> None:
        if self.behaviour.say is not None:
            said = self.behaviour.say[self.made]
            piece = said if isinstance(said, Piece) else None
            token = self._tokenizer.say(piece.raw if piece else str(said), piece)
        else:
            token = FIRST_MADE + self._index * STRIDE + self.made
        text = self._tokenizer.text(token)
        self._token_ids.append(token)
        self._text += text
        scripted = self.behaviour.logprobs
        logprob = scripted[self.made - 1] if scripted and self.made <= len(scripted) else LOGPROB
        self._cumulative += logprob
        if params.logprobs is not None:
            others = range(token + 1, token + params.logprobs)
            self._logprobs.append(
                {
                    candidate: Logprob(logprob * rank, rank, self._tokenizer.text(candidate))
                    for rank, candidate in enumerate((token, *others), start=1)
                }
            )
        now = time.monotonic()
        if not self._stats.first_token_ts:
            self._stats.first_token_ts = now
            self._stats.first_token_latency = max(now - self._stats.queued_ts, 1e-9)
        self._stats.last_token_ts = now
        self._stats.num_generation_tokens = self.made

    def _emit(self, finish_reason: str | None) -> None:
        params = self.request.params
        if params.output_kind == RequestOutputKind.FINAL_ONLY and finish_reason is None:
            return
        completion = self._completion(finish_reason)
        outputs, finished = [completion], finish_reason is not None
        if self._parent is not None:
            if finished:
                self._parent.running.discard(self.request.request_id)
                self._parent.finals[self._index] = completion
            finished = not self._parent.running
            if params.output_kind == RequestOutputKind.FINAL_ONLY:
                if not finished:
                    return
                outputs = [final for _, final in sorted(self._parent.finals.items())]
        self.queue.put(
            RequestOutput(
                request_id=self.request.external_req_id,
                prompt=self.request.prompt,
                prompt_token_ids=self.request.prompt_token_ids,
                prompt_logprobs=None,
                outputs=outputs,
                finished=finished,
                metrics=self._stats,
                lora_request=self.request.lora_request,
            )
        )

    def _completion(self, finish_reason: str | None) -> CompletionOutput:
        text, token_ids, logprobs = self._text, self._token_ids, self._logprobs
        if self.request.params.output_kind == RequestOutputKind.DELTA:
            sent_text, sent_tokens = self._sent
            text, token_ids = text[sent_text:], token_ids[sent_tokens:]
            logprobs = logprobs[sent_tokens:]
            self._sent = (len(self._text), self.made)
        wanted = isinstance(self.request.params, SamplingParams) and (
            self.request.params.logprobs is not None
        )
        return CompletionOutput(
            index=self._index,
            text=text,
            token_ids=token_ids,
            cumulative_logprob=self._cumulative if wanted else None,
            logprobs=logprobs if wanted else None,
            finish_reason=finish_reason,
            stop_reason=self.behaviour.stop_reason if finish_reason == "stop" else None,
        )

    def _pool(self, params: PoolingParams) -> PoolingRequestOutput:
        token_ids, scripted = self.request.prompt_token_ids, self.behaviour.embedding
        data = pool(token_ids, params) if scripted is None else array(scripted)
        return PoolingRequestOutput(
            request_id=self.request.external_req_id,
            outputs=PoolingOutput(data),
            prompt_token_ids=token_ids,
            num_cached_tokens=0,
            finished=True,
        )


def pool(token_ids: Sequence[int], params: PoolingParams) -> Any:
    """Returns the result of a pooling task: known numbers in the shape of the real ones.

    Row ``i`` of a token-wise task is ``token, 0, 1, 2, ...``; a whole prompt is its last row.
    """
    width = params.dimensions or (3 if params.task and "classify" in params.task else 8)
    rows = [[token, *range(width - 1)] for token in token_ids]
    return array(rows[-1] if params.task in ("embed", "classify") else rows)
