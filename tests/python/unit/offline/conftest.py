"""Stand-ins for what the guards call of vLLM, and guarded engines of stand-ins."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from python_worker.engines.guards import vllm_parts as engine_parts
from python_worker.engines.guards.guarded import compose
from python_worker.offline import vllm_parts
from python_worker.offline.engine_guard import LLMEngineGuard
from python_worker.offline.llm_guard import BatchGuard, LLMGuard
from python_worker.testing.fake_vllm import errors
from tests.python.support.engine_class import configuration
from tests.python.support.guard_parts import NoBackends, no_prompt_ends
from tests.python.support.offline_classes import EngineStandIn, LLMStandIn


def refuse(params: Any) -> None:
    raise ValueError("no words")


class Backends(NoBackends):
    """One of them takes no structure."""

    validators: Mapping[str, Any] = {"outlines": refuse}


GUARDED_ENGINE: Any = type("LLMEngine", (LLMEngineGuard, EngineStandIn), {})


class Guarded(LLMStandIn):
    """Whose engine is guarded, as that of vLLM's is."""

    engine_class = GUARDED_ENGINE


GUARDED_LLM: Any = compose(Guarded, (LLMGuard, BatchGuard), name="LLM")


@pytest.fixture(autouse=True)
def _no_vllm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_parts, "request_verifier", lambda: lambda request: None)
    monkeypatch.setattr(engine_parts, "prompt_ends", no_prompt_ends)
    monkeypatch.setattr(engine_parts, "cache_of_names", lambda engine: None)
    monkeypatch.setattr(engine_parts, "structure_backends", lambda tokenizer: Backends())
    monkeypatch.setattr(engine_parts, "load_logits_processors", lambda given: None)
    monkeypatch.setattr(
        engine_parts, "adapter_invalid", lambda text: errors.VLLMValidationError(text)
    )
    monkeypatch.setattr(vllm_parts, "engine_dead", errors.EngineDeadError)
    monkeypatch.setattr(vllm_parts, "insecure_serialization", lambda: False)


@pytest.fixture
def engine() -> Iterator[Any]:
    """A guarded engine."""
    engine = GUARDED_ENGINE(vllm_config=configuration(), executor_class=None, log_stats=False)
    yield engine
    close(engine)


@pytest.fixture
def llm() -> Iterator[Any]:
    """A guarded LLM."""
    llm = GUARDED_LLM()
    yield llm
    close(llm.llm_engine)


def close(engine: Any) -> None:
    """Ends what waits for it, as its death does."""
    engine.engine_core.resources.engine_dead = True
    if not engine._loop.is_closed():
        engine._close()
