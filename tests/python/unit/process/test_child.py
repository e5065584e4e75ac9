"""What runs first in vLLM's child processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from python_worker.process import child

# PR_GET_PDEATHSIG is 2.
CODE = """
import ctypes
from python_worker.process import child
child.die_with_parent()
number = ctypes.c_int()
ctypes.CDLL(None).prctl(2, ctypes.byref(number))
print(number.value)
"""


class Ended(Exception):
    """Raised in the place of `os._exit`."""


def test_the_kernel_kills_the_process_when_its_parent_ends() -> None:
    result = subprocess.run([sys.executable, "-c", CODE], check=True, capture_output=True)
    assert int(result.stdout) == signal.SIGKILL


def test_a_process_whose_parent_has_already_ended_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    def end(_code: int) -> None:
        raise Ended

    parent = SimpleNamespace(pid=os.getppid() + 1)
    monkeypatch.setattr("ctypes.CDLL", lambda _: SimpleNamespace(prctl=lambda *_: 0))
    monkeypatch.setattr(multiprocessing, "parent_process", lambda: parent)
    monkeypatch.setattr(os, "_exit", end)
    with pytest.raises(Ended):
        child.die_with_parent()
    parent.pid = os.getppid()
    child.die_with_parent()


@pytest.mark.parametrize(("cuda", "calls"), [(None, 1), ("12.8", 0)])
def test_amx_is_set_up_in_builds_for_cpus(
    cuda: str | None, calls: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[None] = []
    monkeypatch.setattr(torch.version, "cuda", cuda)
    monkeypatch.setattr(torch.cpu, "_init_amx", lambda: called.append(None), raising=False)
    child.prepare_amx()
    assert len(called) == calls


def test_a_torch_without_amx_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "_init_amx", None, raising=False)
    child.prepare_amx()
    assert torch.cpu._init_amx is None
