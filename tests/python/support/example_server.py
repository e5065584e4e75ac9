"""The web page among the examples, run as its own words say."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[3]

#: Seconds until the engine has ended a request or the server has ended. It only ends what hangs.
PATIENCE = 120.0


@contextmanager
def example_server(*options: str, **variables: str) -> Iterator[str]:
    """Runs the server on a free port, and returns its address.

    Args:
        options: Of its command line.
        variables: Of its environment.

    Raises:
        RuntimeError: It ended before it served.
    """
    command = ["mix", "run", "elixir/examples/web/server.exs", "--port", "0", *options]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, **variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield _address(process)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(PATIENCE)


def _address(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line)
        if found := re.search(r"http://[\d.:]+", line):
            return found[0]
    raise RuntimeError(f"the server has not started:\n{''.join(said)}")


def requests_in_flight(address: str) -> int:
    """Asks the server how many requests its engine computes."""
    with urllib.request.urlopen(f"{address}/status", timeout=PATIENCE) as answer:
        return int(answer.read())


def wait_until_idle(address: str) -> None:
    """Waits until the engine computes nothing.

    Raises:
        TimeoutError: It goes on.
    """
    deadline = time.monotonic() + PATIENCE
    while requests_in_flight(address) > 0:
        if time.monotonic() > deadline:
            raise TimeoutError("the engine has not ended the request")
        time.sleep(0.02)
