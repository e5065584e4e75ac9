"""What is imported from vLLM for ``LLM``. Every import is in a function: it takes seconds."""

from __future__ import annotations

import importlib
from typing import Any

from python_worker.engines.builder import import_vllm

LLM_MODULE = "vllm.entrypoints.llm"


def import_llm(engine_guard: type) -> Any:
    """Import vLLM and return its ``LLM``, which builds guarded engines from then on.

    ``LLM`` makes its engine by the name ``LLMEngine`` of its own module, so the guarded class is
    put there. Nothing else in the worker makes an engine of that class.

    Args:
        engine_guard: What is mixed into ``LLMEngine``.
    """
    llm = import_vllm(LLM_MODULE, "LLM")
    module: Any = importlib.import_module(LLM_MODULE)
    if not issubclass(module.LLMEngine, engine_guard):
        base = module.LLMEngine
        module.LLMEngine = type(base.__name__, (engine_guard, base), {"__module__": __name__})
    return llm


def engine_dead() -> BaseException:
    """The error of a dead engine."""
    from vllm.v1.engine.exceptions import EngineDeadError

    error: BaseException = EngineDeadError()
    return error


def insecure_serialization() -> bool:
    """Whether the operator lets functions be sent to the processes of an engine."""
    from vllm import envs

    return bool(envs.VLLM_ALLOW_INSECURE_SERIALIZATION)


def tqdm() -> Any:
    """The class of progress bars that vLLM uses."""
    from tqdm import tqdm as cls

    return cls
