"""The parameter classes have every field of vLLM's."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from python_worker.testing.fake_vllm import fields
from python_worker.testing.fake_vllm.types import (
    AsyncEngineArgs,
    PoolingParams,
    SamplingParams,
    StructuredOutputsParams,
)


@pytest.mark.parametrize(
    "cls", [AsyncEngineArgs, PoolingParams, SamplingParams, StructuredOutputsParams]
)
def test_parameters_have_every_field_of_vllm(cls: type[Any]) -> None:
    manifest = json.loads(fields.MANIFEST.read_text(encoding="utf-8"))
    wanted = {field["name"] for field in manifest["classes"][cls.__name__]["fields"]}
    assert wanted <= {field.name for field in dataclasses.fields(cls)}
    made = cls()
    assert made == dataclasses.replace(made)
    # What is made twice is not the same set or list.
    assert all(
        getattr(made, name) is not getattr(cls(), name)
        for name in wanted
        if isinstance(getattr(made, name), (set, list, dict))
    )
