"""The import path of a checked worker extension; ``vllm/test_equipped.py`` shows what it checks."""

from __future__ import annotations

import pytest

from python_worker.engines.guards import worker_extension
from python_worker.engines.guards.worker_extension import checked_path, load, original_path
from python_worker.testing.worker_extension import WorkerExtension

EXTENSION = "python_worker.testing.worker_extension.WorkerExtension"


def test_a_path_and_its_checked_form() -> None:
    path = checked_path(EXTENSION)
    assert path.startswith(f"{worker_extension.__name__}.checked_")
    assert original_path(path) == EXTENSION
    assert checked_path(path) == path
    assert load(path) is load(EXTENSION) is WorkerExtension


def test_an_engine_without_an_extension_gets_none() -> None:
    assert checked_path("") == ""


@pytest.mark.parametrize("path", ["other.checked_6162", "plain", f"{worker_extension.__name__}.x"])
def test_other_paths_are_as_they_are(path: str) -> None:
    assert original_path(path) == path


def test_the_module_has_nothing_else_of_any_name() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'something'"):
        _ = worker_extension.something
