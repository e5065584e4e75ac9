"""A server that records requests."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.python.support.recorder import Recorder


@pytest.fixture
async def recorder() -> AsyncIterator[Recorder]:
    """The server."""
    async with Recorder().running() as recorder:
        yield recorder
