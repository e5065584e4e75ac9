"""Names of what answers: of the model, of an adapter, of classes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from python_worker.exceptions import InvalidArgument, Unsupported
from python_worker.pooling.poolings import adapter, labels_of


def engine(**model: Any) -> Any:
    return SimpleNamespace(model_config=SimpleNamespace(**model))


def test_a_batch_is_answered_by_the_model_or_by_one_adapter() -> None:
    one = engine(served_model_name="served")
    assert adapter(one, None, None) == (None, "served")
    assert adapter(engine(served_model_name=["first", "second"]), None, None) == (None, "first")
    lora = {"lora_name": "a"}
    assert adapter(one, None, lora) == (lora, "a")
    assert adapter(one, None, [lora, None]) == ([lora, None], "served")
    assert adapter(object(), None, None) == (None, "")


def test_an_adapter_is_given_once_and_by_name_where_names_are_known() -> None:
    with pytest.raises(InvalidArgument, match="not both"):
        adapter(engine(), "a", {"lora_name": "b"})
    with pytest.raises(Unsupported, match="none of vLLM's"):
        adapter(object(), "a", None)


def test_classes_have_names_where_the_model_has_them() -> None:
    named = engine(hf_config=SimpleNamespace(id2label={1: "bad", 0: "good"}))
    assert labels_of(named, 2) == ["good", "bad"]
    assert labels_of(named, 3) is None
    assert labels_of(engine(), 2) is None
    assert labels_of(object(), 2) is None
