"""Projects that depend on the library by its path: the application of the examples, and a script.

They are built in folders of their own, with the real engine and SmolLM2.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
APPLICATION = ROOT / "elixir/examples/assistant"

#: Seconds for one command. It only ends what hangs.
PATIENCE = 900.0

pytestmark = pytest.mark.timeout(2 * PATIENCE)


def run(command: list[str], folder: Path, **variables: str) -> str:
    """Runs a command and returns what it prints.

    Raises:
        AssertionError: It fails; the message has its output.
    """
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, f"{' '.join(command)}:\n{done.stdout}"
    return done.stdout


@pytest.fixture(scope="module")
def builds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of builds, so that the checkout stays as it is."""
    return tmp_path_factory.mktemp("builds")


@pytest.fixture(scope="module")
def release(builds: Path) -> Path:
    """The release of the application, away from where it was built."""
    build = builds / "prod"
    options = {"MIX_ENV": "prod", "MIX_BUILD_PATH": str(build)}
    run(["mix", "compile", "--warnings-as-errors"], APPLICATION, **options)
    run(["mix", "release", "--path", str(build / "release")], APPLICATION, **options)
    moved = builds / "moved"
    shutil.move(build / "release", moved)
    shutil.rmtree(build)
    return moved


def test_the_tests_of_the_application_pass_with_a_fake_engine(builds: Path) -> None:
    printed = run(["mix", "test"], APPLICATION, MIX_BUILD_PATH=str(builds / "test"))
    assert "0 failures" in printed


def test_the_release_holds_the_worker_as_files(release: Path) -> None:
    (worker,) = release.glob("lib/vllm_bridge-*/priv/python/python_worker")
    assert (worker / "__main__.py").is_file()
    assert [path for path in worker.rglob("*") if path.is_symlink()] == []
    assert not worker.is_symlink()
    assert list(release.glob("lib/cowlib-*/ebin/cowlib.app")) != []


def test_the_release_answers_with_its_own_worker(release: Path, builds: Path) -> None:
    question = "What is the capital of France?"
    code = (
        f'Assistant.main("{question}");'
        "{:ok, status} = Vllm.status(Assistant.Vllm);"
        'environment = String.split(File.read!("/proc/#{status["pid"]}/environ"), <<0>>);'
        'IO.puts(Enum.find(environment, &(&1 =~ "PYTHONPATH=")))'
    )
    printed = run([str(release / "bin/assistant"), "eval", code], builds)
    assert "Paris" in printed
    # Python finds the worker's package in the release, and not in the checkout.
    assert f"PYTHONPATH={release}/lib/vllm_bridge-" in printed
    assert str(ROOT) not in printed


def test_a_script_with_mix_install_runs_anywhere(tmp_path: Path) -> None:
    script = (ROOT / "elixir/examples/basic.exs").read_text(encoding="utf-8")
    install = f'Mix.install([{{:vllm_bridge, path: "{ROOT}"}}])\n'
    (tmp_path / "basic.exs").write_text(install + script, encoding="utf-8")
    printed = run(["elixir", "basic.exs"], tmp_path, MIX_INSTALL_DIR=str(tmp_path / "installs"))
    assert "Answer: The capital of France is Paris." in printed
