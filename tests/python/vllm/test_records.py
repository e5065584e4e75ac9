"""vLLM's own classes, as they are installed, travel by their fields."""

from __future__ import annotations

from typing import Any

import torch
from vllm.logprobs import FlatLogprobs, Logprob
from vllm.lora.request import LoRARequest
from vllm.outputs import (
    CompletionOutput,
    EmbeddingRequestOutput,
    PoolingOutput,
    PoolingRequestOutput,
    RequestOutput,
)
from vllm.pooling_params import PoolingParams
from vllm.sampling_params import SamplingParams, StructuredOutputsParams
from vllm.v1.engine import FinishReason
from vllm.v1.metrics.stats import RequestStateStats

from python_worker import codec
from python_worker.codec import item_encoder


def sent(value: object) -> Any:
    return codec.decode(codec.encode(value))


def test_parameters() -> None:
    # Not decoded: they hold an enum, which only travels to Elixir.
    structured = StructuredOutputsParams(regex="[ab]+")
    data = codec.encode([SamplingParams(structured_outputs=structured), PoolingParams()])
    for text in (b"SamplingParams", b"PoolingParams", b"[ab]+", b"RequestOutputKind"):
        assert text in data


def test_outputs_of_every_step() -> None:
    flat = FlatLogprobs()
    flat.append({5: Logprob(-1.5, 1, "a"), 6: Logprob(-2.5, 2, "b")})
    lora = LoRARequest("adapter", 1, "/adapter")
    completion = CompletionOutput(0, "a", [5], -1.5, flat, lora_request=lora)
    item = RequestOutput(
        "r", "p", [1], [None, {1: Logprob(float("-inf"))}], [completion], False, RequestStateStats()
    )
    whole = sent(item)
    assert whole.name == "RequestOutput"
    assert whole.fields["metrics"].fields["num_generation_tokens"] == 0
    (out,) = whole.fields["outputs"]
    assert out.fields["lora_request"].fields["lora_path"] == "/adapter"
    assert [list(position) for position in out.fields["logprobs"]] == [[5, 6]]

    encoder = item_encoder.ItemEncoder(cumulative=True)
    encoder.encode(item)
    flat.append({7: Logprob(-0.5, 1, "c")})
    completion.token_ids = [5, 7]
    completion.text = "ac"
    completion.finish_reason = str(FinishReason.STOP)
    patch = encoder.encode(item)
    assert len(patch) < 60
    assert b"stop" in patch


def test_pooling_outputs() -> None:
    pooled = PoolingRequestOutput("r", PoolingOutput(torch.ones(2)), [1, 2], 0, True)
    assert sent(pooled).fields["outputs"].fields["data"].tolist() == [1, 1]
    embedding = sent(EmbeddingRequestOutput.from_base(pooled))
    assert embedding.name == "EmbeddingRequestOutput"
    assert embedding.fields["outputs"].fields["embedding"] == [1, 1]
