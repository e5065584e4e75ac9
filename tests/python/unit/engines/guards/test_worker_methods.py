"""Methods of a worker extension are read from its class."""

from __future__ import annotations

import logging

import pytest

from python_worker.engines.guards.worker_methods import (
    BEHIND,
    WORKER_METHODS,
    extension_methods,
)

EXTENSION = "python_worker.testing.worker_extension.WorkerExtension"


def test_no_method_is_both_served_and_refused() -> None:
    assert set(BEHIND) & WORKER_METHODS == set()


def test_public_methods_of_an_extension_may_be_called() -> None:
    methods = extension_methods(EXTENSION)
    assert {"echo", "nothing"} <= methods
    assert not any(name.startswith("_") for name in methods)
    assert extension_methods("") == frozenset()


def test_an_extension_that_only_the_workers_can_load_shows_no_methods(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        assert extension_methods("no.such.Extension") == frozenset()
    assert "no.such.Extension cannot be read here" in caplog.text
