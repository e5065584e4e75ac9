"""What a client receives of a batch. Each class is sent as a struct of its fields.

The numbers of a whole batch are one tensor, where all inputs have the same shape.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


class Tensor(Protocol):
    """An array of torch's or numpy's."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Its size in each dimension."""


@dataclass(slots=True)
class PoolingUsage:
    """How many tokens a batch took.

    Attributes:
        prompt_tokens: The tokens of all prompts that the engine was given.
        cached_tokens: Those of them that were found in the prefix cache.
    """

    prompt_tokens: int
    cached_tokens: int


@dataclass(slots=True)
class EmbeddingBatch:
    """The embeddings of a batch.

    Attributes:
        id: What the ids of the batch's requests in the engine begin with.
        model: The served name of the model, or the name of the adapter.
        embeddings: A row for each input, in their order.
        prompt_tokens: How many tokens each input has.
        cached_tokens: How many of them were found in the prefix cache.
        usage: The tokens of the whole batch.
    """

    id: str
    model: str
    embeddings: Tensor
    prompt_tokens: list[int]
    cached_tokens: list[int]
    usage: PoolingUsage


@dataclass(slots=True)
class ClassificationBatch:
    """The classes of a batch.

    Attributes:
        id: What the ids of the batch's requests in the engine begin with.
        model: The served name of the model, or the name of the adapter.
        probs: A row for each input, with a probability for each class; the raw scores with
            ``use_activation: false``.
        labels: The names of the classes, in the order of the columns; None if the model has none.
        prompt_tokens: How many tokens each input has.
        cached_tokens: How many of them were found in the prefix cache.
        usage: The tokens of the whole batch.
    """

    id: str
    model: str
    probs: Tensor
    labels: list[str] | None
    prompt_tokens: list[int]
    cached_tokens: list[int]
    usage: PoolingUsage


@dataclass(slots=True)
class ScoreBatch:
    """How well queries and documents fit each other, pair by pair.

    Attributes:
        id: What the ids of the batch's requests in the engine begin with.
        model: The served name of the model, or the name of the adapter.
        scores: A number for each pair: the cosine of two embeddings, or what a cross-encoder says.
        prompt_tokens: How many tokens each pair has, as vLLM counts them: where the two are
            embedded by themselves, a query counts in each of its pairs, and a separator with it.
        cached_tokens: How many of them were found in the prefix cache.
        usage: The tokens of all requests; a query that is embedded once counts once.
    """

    id: str
    model: str
    scores: Tensor
    prompt_tokens: list[int]
    cached_tokens: list[int]
    usage: PoolingUsage


@dataclass(slots=True)
class PoolingBatch:
    """The outputs of a batch, each of its own shape.

    Attributes:
        id: What the ids of the batch's requests in the engine begin with.
        model: The served name of the model, or the name of the adapter.
        task: What was computed.
        outputs: A tensor for each input, in their order: a row for each token with
            ``token_embed`` and ``token_classify``, else one row.
        prompt_tokens: How many tokens each input has.
        cached_tokens: How many of them were found in the prefix cache.
        usage: The tokens of the whole batch.
    """

    id: str
    model: str
    task: str
    outputs: list[Tensor]
    prompt_tokens: list[int]
    cached_tokens: list[int]
    usage: PoolingUsage
