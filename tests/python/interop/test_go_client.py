"""The worker's gRPC listener, with gRPC's TestService, and grpc-go as the client.

`make test-interop` builds the client, and says where.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from tests.interop.service import make_server

FOLDER = Path(os.environ.get("VLLM_BRIDGE_INTEROP", ""))

pytestmark = pytest.mark.skipif(
    not (FOLDER / "client").is_file(), reason="the client in Go is not built: make test-interop"
)

CASES = (
    *("empty_unary", "large_unary", "client_streaming", "server_streaming", "ping_pong"),
    *("empty_stream", "timeout_on_sleeping_server", "cancel_after_begin"),
    *("cancel_after_first_response", "custom_metadata", "status_code_and_message"),
    *("special_status_message", "unimplemented_method", "unimplemented_service"),
)


async def outcomes() -> dict[str, str]:
    """Runs every case; returns what the client says of each."""
    server = make_server()
    address = server.bind("tcp:127.0.0.1:0").removeprefix("tcp:")
    await server.start()
    client = await asyncio.create_subprocess_exec(
        str(FOLDER / "client"), address, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await client.communicate()
    await server.stop(0)
    lines = said.decode().splitlines()
    return {name: outcome for name, _, outcome in (line.partition(" ") for line in lines)}


@pytest.fixture(scope="module")
def said() -> dict[str, str]:
    return asyncio.run(outcomes())


def test_the_client_has_these_cases(said: dict[str, str]) -> None:
    assert tuple(said) == CASES


@pytest.mark.parametrize("case", CASES)
def test_a_case_passes(case: str, said: dict[str, str]) -> None:
    assert said[case] == "passed"
