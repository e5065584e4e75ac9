"""Logits processors are refused before an engine is built with them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from python_worker.engines.guards.logits_processors import check_logits_processors
from python_worker.exceptions import InvalidArgument


def config(given: list[Any] | None, runner: str = "generate", speculative: object = None) -> Any:
    model = SimpleNamespace(logits_processors=given, runner_type=runner)
    return SimpleNamespace(model_config=model, speculative_config=speculative)


def load(given: tuple[Any, ...]) -> None:
    if "no.such:Thing" in given:
        try:
            raise ModuleNotFoundError("No module named 'no'")
        except ModuleNotFoundError as error:
            raise RuntimeError("Failed to load 0th LogitsProcessor plugin") from error


@pytest.mark.parametrize("given", [None, []])
def test_an_engine_without_any_may_be_of_every_kind(given: list[Any] | None) -> None:
    check_logits_processors(config(given, "pooling", object()), load)


def test_good_ones_of_a_generating_engine_pass() -> None:
    check_logits_processors(config(["a.b:C"]), load)


@pytest.mark.parametrize(
    ("refused", "why"),
    [
        (config(["a.b:C"], "pooling"), "a pooling model"),
        (config(["a.b:C"], speculative=object()), "speculative decoding"),
        (config(["no.such:Thing"]), "No module named 'no'"),
    ],
)
def test_others_are_refused_by_name(refused: Any, why: str) -> None:
    with pytest.raises(InvalidArgument, match=f"logits_processors: .*{why}"):
        check_logits_processors(refused, load)
