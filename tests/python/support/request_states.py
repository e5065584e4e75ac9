"""Fakes of vLLM's request states, which make the outputs of a request, and of their owners."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from python_worker.streaming.token_tap import TokenTap
from tests.python.support.streams import Output, Part, Places, Request, wait_turns


@dataclass
class Kind:
    """A RequestOutputKind."""

    name: str


class Detokenizer:
    """Makes a letter of each token."""

    def __init__(self) -> None:
        self.output_token_ids: list[int] = []
        self.text = ""
        self.told = 0

    def num_output_tokens(self) -> int:
        return len(self.output_token_ids)

    def update(self, new_token_ids: list[int], stop_terminated: bool) -> None:
        self.output_token_ids += new_token_ids
        self.text += "".join(chr(ord("a") + token) for token in new_token_ids)

    def get_next_output_text(self, finished: bool, delta: bool) -> str:
        text = self.text[self.told :] if delta else self.text
        self.told = len(self.text)
        return text


@dataclass
class Logprobs:
    """A LogprobsProcessor."""

    num_logprobs: int | None = None
    num_prompt_logprobs: int | None = None
    prompt_token_id_logprobs: Any = None


@dataclass
class State:
    """vLLM's RequestState, as far as the making of outputs goes."""

    queue: Any
    request_index: int = 0
    output_kind: Kind = field(default_factory=lambda: Kind("DELTA"))
    detokenizer: Detokenizer | None = field(default_factory=Detokenizer)
    logprobs_processor: Logprobs = field(default_factory=Logprobs)
    sampling_mask_chunks: list[Any] = field(default_factory=list)
    stream_interval: int = 1
    streaming_input: bool = False
    prompt_token_ids: list[int] | None = field(default_factory=lambda: [1])
    parent_req: Any = None
    is_prefilling: bool = False
    num_cached_tokens: int = 0
    num_cache_creation_tokens: int = 0
    stats: Any = None
    sent_tokens_offset: int = 0
    made: int = 0

    def make_request_output(
        self,
        new_token_ids: list[int],
        pooling_output: Any,
        finish_reason: Any,
        stop_reason: Any,
        kv_transfer_params: Any = None,
        ec_transfer_params: Any = None,
        error: Any = None,
    ) -> Output | None:
        if self.stream_interval > 1 and self.detokenizer is not None:
            count, sent = self.detokenizer.num_output_tokens(), self.sent_tokens_offset
            if not (finish_reason or sent == 0 or count - sent >= self.stream_interval):
                return None
            if self.output_kind.name == "DELTA":
                new_token_ids = self.detokenizer.output_token_ids[sent:]
                self.sent_tokens_offset = count
        self.made += 1
        if self.detokenizer is not None:
            self.detokenizer.get_next_output_text(False, True)
        return Output(
            [Part(self.request_index, list(new_token_ids))], finish_reason == "all", self.stats
        )

    def bring(self, *tokens: int, finish_reason: str | None = None, **others: Any) -> None:
        """What ``OutputProcessor.process_outputs`` does with the tokens of a step."""
        if self.detokenizer is not None:
            self.detokenizer.update(list(tokens), False)
        arguments: dict[str, Any] = {"pooling_output": None, "stop_reason": None} | others
        made = self.make_request_output(list(tokens), finish_reason=finish_reason, **arguments)
        if made is not None:
            self.queue.put(made)


class Parent:
    """vLLM's ParentRequest."""

    def __init__(self, children: list[str]) -> None:
        self.child_requests = set(children)


class Processor:
    """vLLM's OutputProcessor, as far as it knows states."""

    def __init__(self) -> None:
        self.request_states: dict[str, State] = {}
        self.parent_requests: dict[str, Parent] = {}


class Engine:
    """An engine whose processor has states that put into the collector of a request.

    Args:
        count: How many completions the request has.
        reason: Why no token may be taken directly, if so.
        fields: Of each state.
    """

    def __init__(self, count: int, *, reason: str | None = None, **fields: Any) -> None:
        self.output_processor = Processor()
        self._token_tap = TokenTap(self.output_processor, reason)
        self.states = [State(None, request_index=index, **fields) for index in range(count)]

    def request(self, sink: Any) -> Request:
        """Begin the request."""
        request = Request(sink, engine=self)
        request_id, processor = request.collector.request_id, self.output_processor
        ids = [request_id]
        if len(self.states) > 1:
            ids = [f"{index}_{request_id}" for index in range(len(self.states))]
            processor.parent_requests[request_id] = Parent(ids)
        processor.request_states.update(zip(ids, self.states, strict=True))
        for state in self.states:
            request.encoder.cumulative = state.output_kind.name == "CUMULATIVE"
            state.queue = request.collector
        return request


async def begun(engine: Engine, sink: Places) -> Request:
    """A request whose completions each had a token that was plain, as any is to ``Letters``."""
    request = engine.request(sink)
    await wait_turns()
    for state in engine.states:
        state.bring(0)
    await wait_turns()
    for state in engine.states:
        state.made = 0
    sink.replies.clear()
    return request


async def end(engine: Engine, request: Request) -> None:
    """End it, which leaves nothing behind."""
    engine.states[-1].bring(9, finish_reason="all")
    await request.task
    assert not any("make_request_output" in vars(state) for state in engine.states)
    assert "put" not in vars(request.collector)


def made(engine: Engine) -> int:
    return sum(state.made for state in engine.states)
