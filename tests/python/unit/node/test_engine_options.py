"""Engine arguments out of files, and where a node says that its head is."""

from __future__ import annotations

from pathlib import Path

import pytest

from python_worker.node.command_line import NodeSettings
from python_worker.node.engine_options import place, read_file
from python_worker.settings import SettingsError


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.json", '{"model": "m", "max-model-len": 512}'),
        ("a.toml", 'model = "m"\nmax_model_len = 512\n'),
        ("a.yaml", "model: m\nmax-model-len: 512\n"),
        ("a.yml", "model: m\nmax_model_len: 512\n"),
    ],
)
def test_a_file_may_have_three_formats(tmp_path: Path, name: str, text: str) -> None:
    pytest.importorskip("yaml")
    (tmp_path / name).write_text(text)
    assert read_file(tmp_path / name) == {"model": "m", "max_model_len": 512}


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.ini", "", "has to end in .json, .toml, .yaml, .yml"),
        ("a.json", "{", "cannot be read"),
        ("a.toml", "a", "cannot be read"),
        ("a.json", "[1]", "wants a map"),
        ("a.json", "7", "wants a map"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(tmp_path: Path, name: str, text: str, says: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(SettingsError, match=says) as refused:
        read_file(tmp_path / name)
    assert str(tmp_path / name) in str(refused.value)


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        read_file(tmp_path / "none.json")


def test_the_head_of_data_parallelism() -> None:
    settings = NodeSettings("head", 13345, start_rank=2, local_size=3)
    assert place(settings, {"data_parallel_size": 5}) == {
        "data_parallel_address": "head",
        "data_parallel_rpc_port": 13345,
        "data_parallel_start_rank": 2,
        "data_parallel_size_local": 3,
    }


def test_the_head_of_tensor_parallelism_over_hosts() -> None:
    settings = NodeSettings("head", 29501)
    assert place(settings, {"nnodes": 2, "node_rank": 1}) == {
        "master_addr": "head",
        "master_port": 29501,
    }
