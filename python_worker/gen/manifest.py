"""The manifest as a file: the one description of vLLM that everything else is made from."""

from __future__ import annotations

import json
from typing import Any

from python_worker.gen.files import ROOT, Files

PATH = "python_worker/generated/manifest.json"

ENGINES = {"AsyncLLM": "async_llm", "LLM": "llm"}
"""Where the manifest describes the classes that become modules of functions, by their names."""


def manifest_files() -> Files:
    """Introspects the installed vLLM, which takes some seconds."""
    # Here, because only this part needs vLLM: the others work without it.
    from python_worker.gen.introspection.introspect import manifest

    return Files({PATH: json.dumps(manifest(), indent=1, ensure_ascii=False) + "\n"})


def load() -> dict[str, Any]:
    """Reads the committed manifest."""
    loaded: dict[str, Any] = json.loads((ROOT / PATH).read_text(encoding="utf-8"))
    return loaded
