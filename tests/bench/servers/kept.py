"""Runs a server as long as somebody holds this process's stdin, and not longer.

    python -m tests.bench.servers.kept LOG command ...

The server leads a process group of its own, whose number is printed first.
When stdin ends the server gets SIGTERM, and after a while what is left of its
group SIGKILL: vLLM's processes would survive their parent.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

# vLLM's servers let requests end for 5 s and need 3 s to end their engine.
GRACE_SECONDS = 20.0


def main() -> int:
    """Runs the command; returns its exit status."""
    with Path(sys.argv[1]).open("wb") as log:
        server = subprocess.Popen(
            sys.argv[2:],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    # Its death ends us as well, which whoever reads from us sees.
    threading.Thread(target=_wait_and_exit, args=(server,), daemon=True).start()
    print(server.pid, flush=True)
    sys.stdin.read()
    with contextlib.suppress(ProcessLookupError):
        server.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        server.wait(GRACE_SECONDS)
    _kill_group(server)
    return 0


def _wait_and_exit(server: subprocess.Popen[bytes]) -> None:
    status = server.wait()
    _kill_group(server)
    os._exit(status if status >= 0 else 1)


def _kill_group(server: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(server.pid, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
