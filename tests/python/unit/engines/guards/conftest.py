"""Stand-ins for what the guards call of vLLM beside its engine class: unit tests have no vLLM."""

from __future__ import annotations

import pytest

from python_worker.engines.guards import vllm_parts
from python_worker.testing.fake_vllm import errors
from tests.python.support.guard_parts import NoBackends, no_prompt_ends


def no_free_slot(message: str) -> Exception:
    return errors.QueueOverflowError(message)


def adapter_invalid(message: str) -> Exception:
    return errors.VLLMValidationError(message, parameter="lora_request")


def adapter_path_not_found(lora_name: str, lora_path: str) -> Exception:
    return errors.VLLMNotFoundError(f"{lora_name}: no adapter in {lora_path}")


@pytest.fixture(autouse=True)
def _no_vllm(monkeypatch: pytest.MonkeyPatch) -> None:
    for standin in (no_free_slot, adapter_invalid, adapter_path_not_found):
        monkeypatch.setattr(vllm_parts, standin.__name__, standin)
    monkeypatch.setattr(vllm_parts, "adapter_not_found", errors.VLLMNotFoundError)
    monkeypatch.setattr(vllm_parts, "find_adapter_folder", {"hub/name": "/found"}.get)
    monkeypatch.setattr(vllm_parts, "request_verifier", lambda: lambda request: None)
    monkeypatch.setattr(vllm_parts, "prompt_ends", no_prompt_ends)
    monkeypatch.setattr(vllm_parts, "cache_of_names", lambda engine: None)
    monkeypatch.setattr(vllm_parts, "structure_backends", lambda tokenizer: NoBackends())
    monkeypatch.setattr(vllm_parts, "load_logits_processors", lambda given: None)
