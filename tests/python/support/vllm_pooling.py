"""VLLM's own ``LLM`` in a process of its own, without the bridge: what pooling is compared with.

``answers`` runs ``python -m tests.python.support.vllm_pooling``, which reads a model and calls as
JSON from stdin, and writes what each returned as JSON to stdout. EngineCore is in that process too,
so it starts in two seconds.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

Call = tuple[str, list[Any], dict[str, Any]]
"""A method, its positional arguments, and those by name."""

ENVIRONMENT = {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_CPU_KVCACHE_SPACE": "1"}


def answers(model: Path, calls: list[Call], **arguments: Any) -> list[Any]:
    """What vLLM's ``LLM`` answers to calls, each as plain data."""
    task = json.dumps({"model": str(model), "arguments": arguments, "calls": calls})
    done = subprocess.run(
        [sys.executable, "-m", __name__],
        input=task,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **ENVIRONMENT},
    )
    if done.returncode != 0:
        raise RuntimeError(f"vLLM's LLM failed: {done.stderr[-4000:]}")
    returned: list[Any] = json.loads(done.stdout)
    return returned


def main() -> None:
    """Reads the task, calls vLLM's ``LLM`` and writes what it returned."""
    # What is printed elsewhere goes to stderr: vLLM logs to stdout.
    told = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    from vllm import LLM

    from tests.python.support.reference_llm import ReferenceLLM

    task = json.load(sys.stdin)
    llm: LLM = ReferenceLLM(task["model"], **task["arguments"])
    json.dump([llm.pool_in_process(*call) for call in task["calls"]], told)
    told.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
