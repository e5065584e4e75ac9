"""Builds the Hex package, checks what is in it, and uses it from a new project.

    python3 tests/package.py build RUN     RUN runs a command with an Elixir that has Hex
    python3 tests/package.py check         makes a project that depends on the package, and tests it

The package is built from a copy of the tracked files, because what lies about in a working copy is
no part of it, and because Hex takes no dependency on the unpacked cowlib that a working copy may
have. It needs nothing but the standard library.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "_build" / "package"
PACKAGE = FOLDER / "vllm_bridge"

#: What a package has to hold: everything tracked below these folders, and these files.
FOLDERS = ("elixir/lib/", "elixir/guides/", "proto/", "python_worker/")
FILES = (".formatter.exs", "CHANGELOG.md", "LICENSE", "README.md", "mix.exs", "pyproject.toml")
#: What it may hold beside that.
OPTIONAL = ("usage-rules.md",)
#: What Hex adds.
METADATA = "hex_metadata.config"

#: The packages that it requires, and whether only of an application that has them too.
REQUIREMENTS = {"cowlib": False, "igniter": True, "kino": True}

MIX = """defmodule First.MixProject do
  use Mix.Project

  def project do
    [app: :first, version: "0.1.0", deps: [{:vllm_bridge, path: "../vllm_bridge"}]]
  end

  def application, do: [extra_applications: [:logger]]
end
"""

TESTS = """ExUnit.start(timeout: 300_000)

defmodule First.ScriptedTest do
  use ExUnit.Case

  setup context do
    instance = Vllm.Test.start_worker!(context)
    %{instance: instance, engine: Vllm.Test.engine!(instance)}
  end

  test "an answer of a scripted engine", %{instance: instance, engine: engine} do
    Vllm.Test.reply(instance, "The capital of France is", " Paris.")
    {:ok, stream} = Vllm.AsyncLLM.generate(engine, "The capital of France is", [], "r1")
    {:ok, output} = Vllm.Stream.collect(stream)
    assert hd(output.outputs).text == " Paris."
  end
end

defmodule First.EngineTest do
  use ExUnit.Case

  test "an answer of a real engine" do
    {:ok, model} = Vllm.TinyModel.make(:scripted)
    # The model runs in EngineCore's process, which starts faster than one of its own.
    executor = "vllm.v1.executor.uniproc_executor.UniProcExecutor"
    args = [model: model, enforce_eager: true, distributed_executor_backend: executor]
    {:ok, engine} = Vllm.AsyncLLM.from_engine_args(args)
    params = %Vllm.SamplingParams{max_tokens: 8, temperature: 0.0}
    {:ok, stream} = Vllm.AsyncLLM.generate(engine, "count", params, "r1")
    {:ok, output} = Vllm.Stream.collect(stream)
    assert hd(output.outputs).text =~ "one two three"
    assert Vllm.AsyncLLM.shutdown(engine) == {:ok, nil}
  end
end
"""


def expected(tracked: Iterable[str]) -> set[str]:
    """The files that a package has to hold."""
    return {it for it in tracked if it.startswith(FOLDERS) or it in FILES}


def differences(tracked: Iterable[str], packed: Iterable[str]) -> list[str]:
    """What is missing of a package or should not be in it, one line each."""
    wanted, found = expected(tracked), set(packed) - {METADATA, *OPTIONAL}
    return [
        *(f"{it} is missing in the package" for it in sorted(wanted - found)),
        *(f"{it} should not be in the package" for it in sorted(found - wanted)),
    ]


def requirements(metadata: str) -> dict[str, bool]:
    """The packages that Hex's metadata, in Erlang's terms, requires, and whether optionally."""
    _, _, rest = metadata.partition('{<<"requirements">>,')
    listed = rest.partition("}]]}.")[0]
    found = re.findall(r'<<"(app|optional)">>,(?:<<"(\w+)">>|(true|false))', listed)
    names = [name for key, name, _ in found if key == "app"]
    optional = [truth == "true" for key, _, truth in found if key == "optional"]
    return dict(zip(names, optional, strict=True))


def files_in(folder: Path) -> list[str]:
    """All files below a folder, by their paths in it."""
    return [str(it.relative_to(folder)) for it in folder.rglob("*") if it.is_file()]


def tracked_files() -> list[str]:
    """The files of the working copy that git knows."""
    command = ["git", "ls-files", "-z"]
    output = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True).stdout
    return [it for it in output.split("\0") if it and (ROOT / it).is_file()]


def build(run: str) -> int:
    """Builds the package, as an archive and unpacked, and checks its contents."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    tracked, copy = tracked_files(), FOLDER / "sources"
    for name in tracked:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, copy / name)
    # Hex must find no unpacked cowlib, not even the one that RUN names.
    without = [run, "env", "-u", "VLLM_BRIDGE_COWLIB", "-u", "MIX_BUILD_ROOT"]
    for options in (
        ["--output", str(FOLDER / "vllm_bridge.tar")],
        ["--unpack", "-o", str(PACKAGE)],
    ):
        status = _run([*without, "mix", "hex.build", *options], copy, {"HEX_OFFLINE": "1"})
        if status:
            return status
    shutil.rmtree(copy)
    packed = files_in(PACKAGE)
    lines = differences(tracked, packed)
    required = requirements((PACKAGE / METADATA).read_text(encoding="utf-8"))
    if required != REQUIREMENTS:
        lines.append(f"the package requires {required} instead of {REQUIREMENTS}")
    print("\n".join(lines) or f"{len(packed)} files in {PACKAGE}, as they should be")
    return 1 if lines else 0


def check() -> int:
    """Makes a project that depends on the unpacked package, and runs its first tests."""
    project = FOLDER / "first"
    shutil.rmtree(project, ignore_errors=True)
    (project / "test").mkdir(parents=True)
    (project / "mix.exs").write_text(MIX, encoding="utf-8")
    helper, _, tests = TESTS.partition("\n\n")
    (project / "test" / "test_helper.exs").write_text(f"{helper}\n", encoding="utf-8")
    (project / "test" / "first_test.exs").write_text(tests, encoding="utf-8")
    cowlib = ROOT / "vendor" / "cowlib"
    more = {"VLLM_BRIDGE_COWLIB": str(cowlib)} if cowlib.is_dir() else {}
    return _run(["mix", "deps.get"], project, more) or _run(["mix", "test"], project, more)


def _run(command: Sequence[str], folder: Path, more: Mapping[str, str]) -> int:
    return subprocess.run(command, cwd=folder, env={**os.environ, **more}, check=False).returncode


def main(arguments: Sequence[str]) -> int:
    """Runs the command line."""
    return build(arguments[1]) if arguments[0] == "build" else check()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
