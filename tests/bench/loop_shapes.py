"""Requests of the worst sizes and shapes, for ``tests/bench/loop_gaps.py``.

Each is made when it is sent, as encoded arguments: some are larger than an encoder would like.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgpack

SHOW_STACKS = "SHOW_STACKS"
"""The variable of the environment with which the worker logs what its threads do in a gap."""

STREAM = msgpack.ExtType(15, b"\x90")
"""In the place of an argument that is a stream."""

SHORT: Mapping[str, object] = {"max_tokens": 1, "temperature": 0.0}

INT_OF_5_BYTES = b"\xce\x00\x01\x00\x00"
EMPTY_MAP, EMPTY_LIST = b"\x80", b"\x90"


@dataclass(frozen=True)
class Shape:
    """One call.

    Attributes:
        name: What is large in it.
        method: Of the engine, or of its tokenizer where ``of_tokenizer``.
        args: Makes the encoded positional arguments.
        kwargs: Makes the encoded arguments by name.
        elements: Makes the elements of the argument that is a stream, encoded.
        calls: How many such calls go out at once, in one frame.
        frames: How many times the frame goes out, in one write.
    """

    name: str
    method: str
    args: Callable[[], bytes]
    kwargs: Callable[[], bytes] = bytes
    elements: Callable[[], list[bytes]] = list
    of_tokenizer: bool = False
    of_worker: bool = False
    calls: int = 1
    frames: int = 1


def array(count: int, item: bytes) -> bytes:
    """An array of equal items, encoded."""
    return b"\xdd" + count.to_bytes(4, "big") + item * count


def record(name: str, fields: Mapping[str, object], raw: Mapping[str, bytes] = {}) -> bytes:
    """A struct; ``raw`` are fields that are encoded already."""
    count = len(fields) + len(raw)
    body = b"\x92" + msgpack.packb(name) + b"\xde" + count.to_bytes(2, "big")
    for key, value in fields.items():
        body += msgpack.packb(key) + msgpack.packb(value)
    for key, encoded in raw.items():
        body += msgpack.packb(key) + encoded
    return b"\xc9" + len(body).to_bytes(4, "big") + b"\x0b" + body


def tensor(megabytes: int) -> bytes:
    """A tensor of float32, two-dimensional and 128 wide."""
    size = megabytes * 1024 * 1024
    body = b"\x93" + msgpack.packb("float32") + msgpack.packb([size // 512, 128])
    body += b"\xc6" + size.to_bytes(4, "big") + bytes(size)
    return b"\xc9" + len(body).to_bytes(4, "big") + b"\x08" + body


def generate(prompt: bytes, params: bytes, **kwargs: object) -> dict[str, Callable[[], bytes]]:
    """The arguments of a request."""
    return {
        "args": lambda: b"\x93" + prompt + params + msgpack.packb("r"),
        "kwargs": (lambda: msgpack.packb(kwargs)) if kwargs else bytes,
    }


def prompt_shape(name: str, prompt: Callable[[], bytes], **kwargs: object) -> Shape:
    """A request whose prompt is large."""
    return Shape(
        name,
        "generate",
        lambda: b"\x93" + prompt() + record("SamplingParams", SHORT) + msgpack.packb("r"),
        (lambda: msgpack.packb(kwargs)) if kwargs else bytes,
    )


def params_shape(name: str, **raw: Callable[[], bytes]) -> Shape:
    """A request with a large sampling parameter."""
    return Shape(
        name,
        "generate",
        lambda: (
            b"\x93"
            + msgpack.packb("hello")
            + record("SamplingParams", SHORT, {key: make() for key, make in raw.items()})
            + msgpack.packb("r")
        ),
    )


def structured_shape(name: str, **fields: Callable[[], object]) -> Shape:
    """A request with a large constraint of its output."""

    def made() -> bytes:
        constraint = record("StructuredOutputsParams", {k: make() for k, make in fields.items()})
        params = record("SamplingParams", SHORT, {"structured_outputs": constraint})
        return b"\x93" + msgpack.packb("hello") + params + msgpack.packb("r")

    return Shape(name, "generate", made)


def schema(properties: int) -> dict[str, Any]:
    """A JSON schema with so many properties."""
    return {
        "type": "object",
        "properties": {f"property{n}": {"type": "boolean"} for n in range(properties)},
    }


def nested(depth: int, item: bytes) -> bytes:
    """A container of one in another, and so on."""
    return item * depth + b"\x01"


def packed(value: object) -> Callable[[], bytes]:
    """Makes the bytes of a value."""
    return lambda: msgpack.packb(value)


TEXT = "All work and no play makes it a dull day. "

TRUNCATED: Mapping[str, object] = {"tokenization_kwargs": {"truncate_prompt_tokens": 16}}

MEGABYTE = 1024 * 1024


def text(megabytes: float) -> Callable[[], bytes]:
    """A text."""
    return lambda: msgpack.packb(TEXT * int(megabytes * MEGABYTE / len(TEXT) + 1))


def streamed(name: str, element: Callable[[], bytes], **kwargs: object) -> Shape:
    """A request whose prompt is a stream with one large element."""
    return Shape(
        name,
        "generate",
        lambda: (
            b"\x93"
            + msgpack.packb(STREAM)
            + record("SamplingParams", {**SHORT, "output_kind": "DELTA"})
            + msgpack.packb("r")
        ),
        (lambda: msgpack.packb(kwargs)) if kwargs else bytes,
        elements=lambda: [element()],
    )


SHAPES: tuple[Shape, ...] = (
    Shape("a small call", "is_running", bytes),
    # Prompts
    prompt_shape("prompt: text of 5 MB", text(5)),
    prompt_shape("prompt: text of 5 MB, truncated", text(5), **TRUNCATED),
    prompt_shape("prompt: text of 100 MB", text(100)),
    prompt_shape("prompt: 12 million ids", lambda: array(12_000_000, INT_OF_5_BYTES)),
    prompt_shape("prompt: 500,000 ids", lambda: array(500_000, b"\x40")),
    prompt_shape("prompt: 100,000 texts", lambda: array(100_000, msgpack.packb("hello"))),
    prompt_shape(
        "prompt: embeddings of 64 MB", lambda: b"\x81" + msgpack.packb("prompt_embeds") + tensor(64)
    ),
    prompt_shape(
        "prompt: embeddings of 200 MB",
        lambda: b"\x81" + msgpack.packb("prompt_embeds") + tensor(200),
    ),
    prompt_shape("prompt: lists 1,000 deep", lambda: nested(1000, b"\x91")),
    prompt_shape("prompt: 20 million empty lists", lambda: array(20_000_000, EMPTY_LIST)),
    streamed("streamed prompt: element of 5 MB", text(5)),
    streamed("streamed prompt: element of 5 MB, truncated", text(5), **TRUNCATED),
    streamed("streamed prompt: 500,000 ids", lambda: array(500_000, b"\x40")),
    # Sampling parameters
    params_shape(
        "extra_args: 12 million ints",
        extra_args=lambda: b"\x81\xa1x" + array(12_000_000, INT_OF_5_BYTES),
    ),
    params_shape(
        "extra_args: 1 million ints",
        extra_args=lambda: b"\x81\xa1x" + array(1_000_000, INT_OF_5_BYTES),
    ),
    params_shape(
        "extra_args: 1 million empty maps",
        extra_args=lambda: b"\x81\xa1x" + array(1_000_000, EMPTY_MAP),
    ),
    params_shape(
        "extra_args: 60,000 maps",
        extra_args=lambda: b"\x81\xa1x" + array(60_000, EMPTY_MAP),
    ),
    params_shape("stop: 100,000 texts", stop=lambda: array(100_000, msgpack.packb("zzzz"))),
    params_shape(
        "bad_words: 100,000 words", bad_words=packed([f"word{n}" for n in range(100_000)])
    ),
    params_shape("bad_words: one of 5 MB", bad_words=lambda: b"\x91" + text(5)()),
    params_shape("logit_bias: 100,000 ids", logit_bias=packed(dict.fromkeys(range(100000), 1.0))),
    params_shape(
        "allowed_token_ids: 1 million", allowed_token_ids=lambda: array(1_000_000, b"\x40")
    ),
    params_shape("stop_token_ids: 1 million", stop_token_ids=packed(list(range(1_000_000)))),
    params_shape("n: 16,384", n=packed(16_384), temperature=packed(1.0)),
    params_shape("n: 512", n=packed(512), temperature=packed(1.0)),
    structured_shape("JSON schema: 200 properties", json=lambda: schema(200)),
    structured_shape("JSON schema: 1 MB", json=lambda: schema(20_000)),
    structured_shape("regex: 100 kB", regex=lambda: "(ab|cd)" * 15_000),
    structured_shape("choice: 900", choice=lambda: [f"c{n}" for n in range(900)]),
    structured_shape("choice: 100,000", choice=lambda: [f"c{n}" for n in range(100_000)]),
    structured_shape("grammar: 1 MB", grammar=lambda: "root ::= " + " | ".join(['"a"'] * 200_000)),
    # Other arguments
    Shape("kwargs: 1 million names", "generate", bytes, packed({f"k{n}": n for n in range(10**6)})),
    Shape(
        "trace_headers: 500,000",
        "generate",
        lambda: b"\x93" + msgpack.packb("hello") + record("SamplingParams", SHORT) + b"\xa1r",
        packed({"trace_headers": {f"k{n}": "v" for n in range(500_000)}}),
    ),
    Shape(
        "request_id: 50 MB",
        "generate",
        lambda: b"\x93" + msgpack.packb("hello") + record("SamplingParams", SHORT) + text(50)(),
    ),
    Shape("abort: 1 million ids", "abort", lambda: b"\x91" + array(1_000_000, b"\xa1x")),
    Shape(
        "collective_rpc: 1 million arguments",
        "collective_rpc",
        lambda: b"\x91\xa9get_model",
        lambda: b"\x81\xa4args" + array(1_000_000, b"\x01"),
    ),
    # Frames
    Shape("20,000 calls in one frame", "is_running", bytes, calls=20_000),
    Shape("20,000 frames at once", "is_running", bytes, frames=20_000),
    # Tokenizers
    Shape("tokenizer.encode: 5 MB", "encode", lambda: b"\x91" + text(5)(), of_tokenizer=True),
    Shape(
        "tokenizer.decode: 1 million ids",
        "decode",
        lambda: b"\x91" + array(1_000_000, b"\x40"),
        of_tokenizer=True,
    ),
    Shape(
        "apply_chat_template: 50,000 messages",
        "apply_chat_template",
        lambda: b"\x91" + array(50_000, msgpack.packb({"role": "user", "content": "hello"})),
        of_tokenizer=True,
    ),
    Shape("tokenizer.get_vocab", "get_vocab", bytes, of_tokenizer=True),
    # Answers
    params_shape("logprobs: all, 64 tokens", logprobs=packed(-1), max_tokens=packed(64)),
    Shape(
        "prompt_logprobs: all, 1,500 tokens",
        "generate",
        lambda: (
            b"\x93"
            + array(1_500, b"\x40")
            + record("SamplingParams", SHORT, {"prompt_logprobs": b"\xff"})
            + b"\xa1r"
        ),
    ),
    Shape("vllm_config", "vllm_config", bytes),
    Shape("Worker.metrics", "metrics", bytes, of_worker=True),
)
