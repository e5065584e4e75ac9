"""What the guards call of vLLM is there and does what they need: ``guards/vllm_parts.py``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from python_worker import failures
from python_worker.engines.guards import vllm_parts
from python_worker.exceptions import InvalidArgument, Kind
from python_worker.streaming import known_sources


def request(**extra_args: Any) -> Any:
    from vllm.sampling_params import SamplingParams
    from vllm.v1.engine import EngineCoreRequest

    return EngineCoreRequest(
        request_id="r-1",
        external_req_id="r",
        prompt_token_ids=[1],
        mm_features=None,
        sampling_params=SamplingParams(extra_args=extra_args),
        pooling_params=None,
        arrival_time=0.0,
        lora_request=None,
        cache_salt=None,
        data_parallel_rank=None,
    )


def test_a_request_that_the_wire_does_not_take_is_refused() -> None:
    verify = vllm_parts.request_verifier()
    verify(request(a=[1, "b"]))
    with pytest.raises(InvalidArgument, match="EngineCore could not read") as caught:
        verify(request(a=1 + 2j))
    assert caught.value.details["request_id"] == "r"


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (vllm_parts.adapter_invalid, Kind.INVALID, "no (parameter=lora_request)"),
        (vllm_parts.adapter_not_found, Kind.NOT_FOUND, "no"),
        (vllm_parts.no_free_slot, Kind.OVERLOADED, "no"),
    ],
)
def test_errors_are_those_that_vllm_lets_through(error: Any, kind: Kind, message: str) -> None:
    from vllm.exceptions import GracefulHTTPError, VLLMClientError

    made = error("no")
    assert isinstance(made, (GracefulHTTPError, VLLMClientError))
    assert (failures.kind_of(made), failures.message_of(made)) == (kind, message)


def test_a_path_without_an_adapter_is_not_found(tmp_path: Path) -> None:
    error = vllm_parts.adapter_path_not_found("mine", "no/such")
    assert failures.kind_of(error) == Kind.NOT_FOUND
    assert vllm_parts.find_adapter_folder(str(tmp_path)) == str(tmp_path)
    assert vllm_parts.find_adapter_folder(str(tmp_path / "missing")) is None


def test_parsers_and_processors_are_found_by_name() -> None:
    assert callable(vllm_parts.find_reasoning_parser("deepseek_r1"))
    with pytest.raises(RuntimeError):
        vllm_parts.load_logits_processors(("no.such:Thing",))


def test_the_classes_of_the_token_path_are_found() -> None:
    found = list(vllm_parts.token_path_classes())
    assert {role for role, _ in found} == set(known_sources.SOURCES)
    assert all(isinstance(cls, type) for _, cls in found)
