"""The compile cache that is broken, and is removed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from python_worker.integrations.mellea.compile_cache import FOLDER, CompileCache, cache_root


async def test_the_cache_is_removed_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VLLM_CACHE_ROOT", str(tmp_path))
    (tmp_path / FOLDER / "abc").mkdir(parents=True)
    (tmp_path / FOLDER / "abc" / "artifact").write_text("broken")
    (tmp_path / "other").mkdir()
    assert await CompileCache().remove() == str(tmp_path / FOLDER)
    assert os.listdir(tmp_path) == ["other"]
    assert await CompileCache().remove() is None


async def test_a_link_is_removed_and_not_what_it_leads_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VLLM_CACHE_ROOT", str(tmp_path / "root"))
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / FOLDER).symlink_to(tmp_path / "elsewhere")
    assert await CompileCache().remove() == str(tmp_path / "root" / FOLDER)
    assert (tmp_path / "elsewhere").is_dir()
    assert not (tmp_path / "root" / FOLDER).exists()


@pytest.mark.parametrize(
    ("variables", "root"),
    [
        ({"VLLM_CACHE_ROOT": "/a", "XDG_CACHE_HOME": "/b"}, "/a"),
        ({"XDG_CACHE_HOME": "/b"}, "/b/vllm"),
        ({"HOME": "/c"}, "/c/.cache/vllm"),
        ({"HOME": "/c", "VLLM_CACHE_ROOT": "~/v"}, "/c/v"),
    ],
)
def test_where_vllm_keeps_its_files(
    variables: dict[str, str], root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("VLLM_CACHE_ROOT", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert cache_root() == Path(root)
