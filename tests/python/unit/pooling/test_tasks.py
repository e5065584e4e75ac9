"""Which tasks there are, and what is said where a model does not do one."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from python_worker.exceptions import InvalidArgument, Unsupported
from python_worker.pooling.tasks import NO_TASKS, TASKS, check_scores, check_supported, check_task


def test_tasks_are_known_by_name() -> None:
    for task in TASKS:
        check_task(task)
    for task in (*NO_TASKS, "sing", ""):
        with pytest.raises(InvalidArgument, match="There are embed, classify") as refused:
            check_task(task)
        assert refused.value.details["parameter"] == "task"
    with pytest.raises(InvalidArgument, match="call score"):
        check_task("score")


def test_an_unsupported_task_says_what_the_model_does_and_how_to_convert() -> None:
    check_supported("embed", ("token_embed", "embed"))
    with pytest.raises(
        Unsupported, match=r"does not classify texts.*embed, token_embed"
    ) as refused:
        check_supported("classify", ("token_embed", "embed"))
    assert "Build the engine with convert='classify'" in str(refused.value)
    assert refused.value.details == {
        "parameter": "task",
        "task": "classify",
        "supported_tasks": ["embed", "token_embed"],
        "convert": "classify",
    }


def test_an_engine_that_generates_is_to_be_built_for_pooling() -> None:
    with pytest.raises(Unsupported, match="runner='pooling' and convert='embed'"):
        check_supported("token_embed", ("generate",))


def test_scores_come_of_embeddings_or_of_one_label() -> None:
    one, two = SimpleNamespace(num_labels=1), SimpleNamespace(num_labels=2)
    assert check_scores("bi-encoder", "embed", ["embed"], two) == "bi-encoder"
    assert check_scores("cross-encoder", "classify", ["classify"], one) == "cross-encoder"
    with pytest.raises(Unsupported, match="num_labels == 1, and this classifier has 2") as refused:
        check_scores("cross-encoder", "classify", ["classify"], two)
    assert refused.value.details["num_labels"] == 2
    for own in ("token_classify", None):
        with pytest.raises(Unsupported, match="score: this model does not score"):
            check_scores(None, own, ["token_classify"], one)
