"""Random parameters that forbid tokens, on a real engine: refused, or every token is allowed."""

from __future__ import annotations

import random
from typing import Any

from python_worker.testing.models.scripted_model import EOS_ID, ScriptedModel
from tests.python.support.client import Client, Failed, sampling
from tests.python.support.values import Ref

REQUESTS = 300
LETTERS = "abc"


class Case:
    """Random parameters, and what they allow."""

    def __init__(self, choose: random.Random, model: ScriptedModel) -> None:
        self.ids = [*(model.encode(letter)[0] for letter in LETTERS), EOS_ID]
        words = [
            "".join(choose.choices(LETTERS, k=choose.randint(1, 3)))
            for _ in range(choose.randrange(4))
        ]
        self.words = [model.encode(word) for word in words]
        self.allowed = choose.sample(self.ids, choose.randint(1, 3))
        forbidden = choose.sample(self.ids, choose.randrange(3))
        self.bias = dict.fromkeys(forbidden, float("-inf"))
        self.stops = {EOS_ID, *choose.sample(self.ids, choose.randrange(2))}
        self.min_tokens = choose.randrange(4)
        self.structure = choose.random() < 0.3
        self.params: dict[str, Any] = {
            "allowed_token_ids": self.allowed,
            "bad_words": words,
            "logit_bias": self.bias,
            "stop_token_ids": sorted(self.stops - {EOS_ID}),
            "min_tokens": self.min_tokens,
            "max_tokens": 6,
            "temperature": choose.choice([0.0, 1.0]),
            "seed": choose.randrange(1000),
        }
        if self.structure:
            self.params["structured_outputs"] = {"regex": "[ab]{1,4}c?"}

    def left(self, output: list[int]) -> set[int]:
        """What the parameters leave, without the structure."""
        left = set(self.allowed) - self.bias.keys()
        if len(output) < self.min_tokens and not self.structure:
            left -= self.stops
        return {
            token
            for token in left
            if not any([*output, token][-len(word) :] == word for word in self.words)
        }


async def outcome(client: Client, engine: Ref, case: Case) -> tuple[list[int] | None, str]:
    try:
        last = await client.generate(engine, "Hello", sampling(**case.params))
    except Failed as error:
        return None, str(error)
    completion = last.outputs[0]
    return completion.token_ids, completion.finish_reason


async def test_refused_or_every_token_is_allowed(
    vllm_client: Client, vllm_engine: Ref, model: ScriptedModel
) -> None:
    choose = random.Random(1)
    seen = {"refused": 0, "ended": 0, "answered": 0}
    for _ in range(REQUESTS):
        case = Case(choose, model)
        tokens, said = await outcome(vllm_client, vllm_engine, case)
        if tokens is None:
            assert said.startswith("INVALID ")
            known = "no token is left to choose" in said
            assert known or "no token was left to choose" in said
            assert known == (not case.left([])), (case.params, said)
            seen["refused" if known else "ended"] += 1
            continue
        seen["answered"] += 1
        for place, token in enumerate(tokens):
            assert token in case.left(tokens[:place]), (case.params, tokens)
        assert said in ("stop", "length")
    assert min(seen.values()) > REQUESTS / 20, seen
