"""The options of a request; what LLaMA-Factory makes of them is in ``vllm/``."""

from __future__ import annotations

import dataclasses

import pytest

from python_worker.exceptions import InvalidArgument
from python_worker.integrations.llama_factory.options import GenerationOptions
from python_worker.validation.annotations import checker


def test_only_what_was_given_is_handed_on() -> None:
    options = GenerationOptions(temperature=0.0, seed=7, do_sample=False, num_beams=2)
    assert options.keywords() == {"temperature": 0.0}
    assert options.added() == {"seed": 7}
    assert GenerationOptions().keywords() == {}
    assert GenerationOptions().added() == {}


@pytest.mark.parametrize("field", dataclasses.fields(GenerationOptions))
def test_every_option_is_checked(field: dataclasses.Field[object]) -> None:
    check = checker(GenerationOptions)
    assert check({field.name: None}, "options") == GenerationOptions()
    with pytest.raises(InvalidArgument, match=f"options.{field.name}"):
        check({field.name: {"odd": ()}}, "options")
    with pytest.raises(InvalidArgument, match="no field 'other'"):
        check({"other": 1}, "options")
