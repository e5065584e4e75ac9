"""Every input of the corpus of `make fuzz` is taken or refused as its target says."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.fuzz.__main__ import CORPUS, inputs, run
from tests.fuzz.mutators import LONGEST, mutated
from tests.fuzz.targets import TARGETS


def test_each_target_has_a_corpus() -> None:
    # Elixir's client reads one more.
    assert {path.name for path in CORPUS.iterdir()} == {*TARGETS, "client"}
    assert all(inputs(name) for name in TARGETS)


@pytest.mark.parametrize("name", TARGETS)
def test_the_corpus_of_a_target_is_taken_or_refused(name: str) -> None:
    for data in inputs(name):
        TARGETS[name](data)


def test_the_same_seed_makes_the_same_inputs() -> None:
    seeds = [b"", b"abc", bytes(5000)]
    made = [
        [mutated(seeds, dice) for _ in range(200)] for dice in (random.Random(1), random.Random(1))
    ]
    assert made[0] == made[1]
    assert len(set(made[0])) > 150
    assert max(map(len, made[0])) <= LONGEST


def test_what_fails_is_kept_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tests.fuzz.__main__.CORPUS", tmp_path)
    (tmp_path / "it").mkdir()
    (tmp_path / "it" / "seed").write_bytes(b"a seed")

    def target(data: bytes) -> None:
        if data != b"a seed":
            raise ValueError("not the seed")

    assert run("it", target, 0.01, seed=1, keep=False) > 0
    assert "ValueError: not the seed" in capsys.readouterr().out
    found = [path for path in (tmp_path / "it").iterdir() if path.name.startswith("failed-")]
    assert found
    assert all(path.read_bytes() != b"a seed" for path in found)
