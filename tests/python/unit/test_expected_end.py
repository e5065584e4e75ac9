"""vLLM logs every end of EngineCore as a failure; one that was asked for is kept out."""

from __future__ import annotations

import logging

import pytest

from python_worker import demise


class Core:
    """A client of EngineCore that has ended."""

    async def get_output_async(self) -> None:
        """Says so."""
        raise RuntimeError("EngineCore is gone")


@pytest.mark.parametrize(("expected", "lines"), [(True, 0), (False, 1)])
async def test_only_an_end_that_nobody_asked_for_is_logged(
    expected: bool, lines: int, caplog: pytest.LogCaptureFixture
) -> None:
    logger = logging.getLogger(demise.LOGGER)
    outputs = demise.Outputs(Core())
    outputs.end_expected = expected
    logger.addFilter(demise.is_unexpected)
    try:
        await outputs.get()
    except RuntimeError:
        logger.exception("AsyncLLM output_handler failed.")
    finally:
        logger.removeFilter(demise.is_unexpected)
    assert len(caplog.records) == lines


def test_what_has_no_exception_is_logged() -> None:
    record = logging.LogRecord("vllm", logging.INFO, "", 1, "fine", (), None)
    assert demise.is_unexpected(record)
