"""vLLM logs every end of EngineCore as a failure; one that was asked for is kept out."""

from __future__ import annotations

import logging

import pytest

from python_worker.engines.guards import engine_death


class Core:
    """A client of EngineCore that has ended."""

    async def get_output_async(self) -> None:
        """Says so."""
        raise RuntimeError("EngineCore is gone")


@pytest.mark.parametrize(("expected", "lines"), [(True, 0), (False, 1)])
async def test_only_an_end_that_nobody_asked_for_is_logged(
    expected: bool, lines: int, caplog: pytest.LogCaptureFixture
) -> None:
    logger = logging.getLogger(engine_death.LOGGER)
    outputs = engine_death.Outputs(Core())
    outputs.end_expected = expected
    logger.addFilter(engine_death.is_unexpected)
    try:
        await outputs.get()
    except RuntimeError:
        logger.exception("AsyncLLM output_handler failed.")
    finally:
        logger.removeFilter(engine_death.is_unexpected)
    assert len(caplog.records) == lines


def test_what_has_no_exception_is_logged() -> None:
    record = logging.LogRecord("vllm", logging.INFO, "", 1, "fine", (), None)
    assert engine_death.is_unexpected(record)
