"""Requests for an engine that is none of vLLM's: it gets its prompts as they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from python_worker.exceptions import Unsupported
from python_worker.pooling.inputs import Checks, Parameters, is_conversation, raise_failed
from python_worker.pooling.requests import (
    Finish,
    Pairs,
    Request,
    Scored,
    check_template,
    place,
)
from python_worker.pooling.scores import cosines


class PlainRenderer:
    """Gives an engine that is none of vLLM's its prompts as they are.

    Args:
        engine: The engine.
    """

    def __init__(self, engine: Any) -> None:
        self._checks = Checks(engine)

    def inputs(self, task: str, inputs: Sequence[Any], given: Parameters) -> list[Request]:
        """A request for each input."""
        return [
            self._request("inputs", index, value, given, index)
            for index, value in enumerate(inputs)
        ]

    def _request(
        self, argument: str, index: int, value: Any, given: Parameters, number: int
    ) -> Request:
        if is_conversation(value):
            raise Unsupported(f"{argument}[{index}]: messages need an engine of vLLM's own")
        try:
            prompt = self._checks.prompt(value, f"{argument}[{index}]", given.tokenization)
        except Exception as error:
            raise_failed(argument, index, error)
        described = {
            "prompts": prompt,
            "params": given.params[number],
            "lora_requests": given.lora_requests[number],
            "priorities": given.priorities[number],
        }
        return Request(argument, index, lambda: described, 0)

    def score_task(self) -> str:
        """What the requests of pairs compute."""
        return "embed"

    def pairs(self, pairs: Pairs, given: Parameters) -> tuple[list[Request], Finish]:
        """The requests of pairs, and what is done with their outputs."""
        check_template("bi-encoder", pairs)
        n_queries = len(pairs.queries)
        requests = [
            self._request(*place("bi-encoder", number, n_queries), value, given, 0)
            for number, value in enumerate([*pairs.queries, *pairs.documents])
        ]

        def finish(outputs: list[Any]) -> Scored:
            return scored(outputs[:n_queries], outputs[n_queries:])

        return requests, finish

    async def render(self, requests: Sequence[Request]) -> list[Any]:
        """What the engine gets for each request."""
        return [request.render() for request in requests]


def scored(queries: Sequence[Any], documents: Sequence[Any]) -> Scored:
    """The cosines of embeddings; a single query is in every pair."""
    rows = [[it.outputs.data for it in outputs] for outputs in (queries, documents)]
    if len(queries) == 1:
        queries = list(queries) * len(documents)
    pairs = list(zip(queries, documents, strict=True))
    return Scored(
        cosines(*rows),
        [len(one.prompt_token_ids) + len(other.prompt_token_ids) for one, other in pairs],
        [one.num_cached_tokens + other.num_cached_tokens for one, other in pairs],
    )
