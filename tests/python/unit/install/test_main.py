"""The steps of set-up: what they find, what they refuse, and what they tell the user to do.

Programs such as apt-get are replaced by small scripts on the PATH.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from python_worker.install import __main__ as install

ROOT = Path(install.__file__).parents[2]


def test_the_first_failing_step_is_the_last(
    capsys: pytest.CaptureFixture[str], programs: Path
) -> None:
    assert install.main(["elixir", "cowlib", "--json"]) == 1
    (result,) = json.loads(capsys.readouterr().out)
    assert (result["name"], result["status"]) == ("elixir", "failed")
    assert "elixir-lang.org" in result["advice"]


def test_an_unknown_step_is_refused_with_the_known_ones(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        install.main(["elixer"])
    assert "elixer; there are elixir, dialyzer, cowlib, python" in capsys.readouterr().err


def test_set_up_needs_only_the_standard_library() -> None:
    """-S -E: no site-packages, as on a machine where nothing is installed yet."""
    result = subprocess.run(
        [sys.executable, "-S", "-E", "-m", "python_worker.install", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
