"""The requests of a batch, before they are rendered, and what makes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from python_worker.engines.guards.preprocessing import characters_in
from python_worker.exceptions import InvalidArgument, LimitExceeded, Unsupported
from python_worker.pooling.inputs import Parameters, check_content, check_count

MAX_PAIRED_CHARS = 1024 * 1024
"""Characters of a query or a document: some models' tokenizers get pairs whole, and cut later."""


@dataclass(slots=True)
class Request:
    """A request that is to be rendered.

    Attributes:
        argument: The argument that its input is in, for errors.
        index: The input's number there.
        render: Makes what the engine gets: its prompt and its parameters. It may take long.
        size: How many characters that is made of.
    """

    argument: str
    index: int
    render: Callable[[], Any]
    size: int


@dataclass(frozen=True, slots=True)
class Pairs:
    """What is to be scored, and how.

    Attributes:
        queries: One, or as many as there are documents.
        documents: At least one.
        chat_template: Puts a query and a document into a prompt, for a cross-encoder.
        chat_template_kwargs: What it reads beside them; ``instruction`` of some models.
        max_tokens_per_query: Where queries are cut; 0 for nowhere.
        max_tokens_per_doc: Where documents are cut; 0 for nowhere.
    """

    queries: Sequence[Any]
    documents: Sequence[Any]
    chat_template: str | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    max_tokens_per_query: int = 0
    max_tokens_per_doc: int = 0

    def check(self) -> None:
        """Refuse numbers of texts that make no pairs, and negative limits.

        Raises:
            InvalidArgument: It names the argument.
        """
        check_count(self.queries, "queries")
        check_count(self.documents, "documents")
        given, wanted = len(self.queries), len(self.documents)
        if given not in (1, wanted):
            raise InvalidArgument(
                f"queries: wants one, or as many as there are documents, {wanted}; got {given}",
                parameter="queries",
                queries=given,
                documents=wanted,
            )
        for name in ("max_tokens_per_query", "max_tokens_per_doc"):
            if (value := getattr(self, name)) < 0:
                raise InvalidArgument(f"{name}: wants 0 or more, got {value}", parameter=name)

    def check_texts(self) -> None:
        """Refuse what is no text, and a text that is too long; for a thread."""
        check_texts(self.queries, "queries")
        check_texts(self.documents, "documents")


@dataclass(frozen=True, slots=True)
class Scored:
    """The scores of pairs.

    Attributes:
        scores: One number for each.
        prompt_tokens: How many tokens each has.
        cached_tokens: How many of them were found in the prefix cache.
    """

    scores: Any
    prompt_tokens: list[int]
    cached_tokens: list[int]


Finish = Callable[[list[Any]], Scored]
"""From the outputs of the requests of pairs to their scores."""


class Renderer(Protocol):
    """Makes the requests of one engine."""

    def inputs(self, task: str, inputs: Sequence[Any], given: Parameters) -> list[Request]:
        """A request for each input; for a thread."""

    def score_task(self) -> str:
        """What the requests of pairs compute."""

    def pairs(self, pairs: Pairs, given: Parameters) -> tuple[list[Request], Finish]:
        """The requests of pairs, and what is done with their outputs; for a thread."""

    async def render(self, requests: Sequence[Request]) -> list[Any]:
        """What the engine gets for each request, or the exception that it failed with."""


def place(score_type: str | None, number: int, n_queries: int) -> tuple[str, int]:
    """The argument and the index that a request of pairs is for."""
    if score_type == "cross-encoder":
        return "pairs", number
    return ("queries", number) if number < n_queries else ("documents", number - n_queries)


def check_texts(values: Sequence[Any], name: str) -> None:
    """Refuse a text that is too long to be paired: vLLM tokenizes pairs as a whole, and then cuts.

    Raises:
        LimitExceeded: It is too long.
    """
    for index, value in enumerate(values):
        if not isinstance(value, (str, dict)):
            raise InvalidArgument(
                f"{name}[{index}]: wants a text or a map with 'content', got "
                f"{type(value).__name__}",
                parameter=name,
                input=index,
            )
        if isinstance(value, dict):
            check_content(value.get("content"), f"{name}[{index}].content")
        if (size := characters_in(value)) > MAX_PAIRED_CHARS:
            raise LimitExceeded(
                f"{name}[{index}]: a text of {size} characters; the limit is {MAX_PAIRED_CHARS}",
                parameter=name,
                input=index,
            )


def check_template(processor: str, pairs: Pairs) -> None:
    """Refuse what vLLM would pass over: most models have no use for a template.

    Raises:
        Unsupported: It has no effect on this model.
    """
    if processor == "jina-reranking-scoring":
        useless = {"chat_template": "its template is its own"}
    elif processor != "cross-encoder":
        why = "it embeds queries and documents by themselves, as they are"
        useless = {"chat_template": why, "chat_template_kwargs": why}
    elif pairs.chat_template is None:
        useless = {"chat_template_kwargs": "give a chat_template that reads them"}
    else:
        useless = {}
    for name, why in useless.items():
        if getattr(pairs, name) is not None:
            raise Unsupported(f"{name}: it has no effect on this model: {why}", parameter=name)
