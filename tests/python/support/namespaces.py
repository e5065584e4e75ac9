"""Namespaces of process ids, in which a test's process is process 1."""

from __future__ import annotations

import subprocess

import pytest

#: Before a command: it is process 1, as in a container, and ends with ``unshare``.
NAMESPACE = (
    *("unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc"),
    "--kill-child",
)


def _allowed() -> bool:
    try:
        return (
            subprocess.run([*NAMESPACE, "true"], capture_output=True, check=False).returncode == 0
        )
    except OSError:
        return False


needs_namespaces = pytest.mark.skipif(
    not _allowed(), reason="this machine lets no process make a namespace"
)
