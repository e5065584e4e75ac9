"""A native connection, from the worker's half to a client's session, all in the test's process.

And fakes that pass for vLLM's.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from python_worker.streaming import known_sources
from tests.python.support.client import Session
from tests.python.support.native import NativeRpc
from tests.python.support.served import HELLO, Served, serving

# Else their assertions would not say what is different.
pytest.register_assert_rewrite(
    "tests.python.support.http2_server", "tests.python.support.request_states"
)


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    """The worker's half."""
    async with serving(tmp_path) as served:
        yield served


@pytest.fixture
async def rpc(served: Served) -> AsyncIterator[NativeRpc]:
    """A connection that has said no hello yet."""
    rpc = NativeRpc(served.address)
    await rpc.open()
    yield rpc
    await rpc.close()


@pytest.fixture
async def session(rpc: NativeRpc) -> AsyncIterator[Session]:
    """A session."""
    async with Session(rpc, HELLO) as session:
        yield session


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, type]]:
    """Has fakes of request states pass for vLLM's; what was asked for."""
    asked: list[tuple[str, type]] = []

    def all_known(role: str, cls: type) -> None:
        asked.append((role, cls))

    monkeypatch.setattr(known_sources, "unknown_method", all_known)
    return asked
