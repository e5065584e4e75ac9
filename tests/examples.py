"""Runs the examples on real engines, and prints what they print and a table of them.

    python tests/examples.py [NAME …]       all, or those whose path contains a name

Two run at a time, because the start of an engine is mostly one thread that imports modules. Each is
a process of its own, as a user runs it, and fails if it exits with an error or leaves a process
behind. Exits with 1 if one fails.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "elixir/examples"

AT_ONCE = 2

#: Seconds for one example. It only ends what hangs.
PATIENCE = 900

#: They start two engines; begun first, they do not run on alone at the end.
LONGEST = ("several_engines", "supervision", "structured_output_and_embeddings")

_printing = threading.Lock()


def commands() -> dict[str, list[str]]:
    """The examples by their names, with the commands that their README gives."""
    scripts = {path.stem: [str(path.relative_to(ROOT))] for path in EXAMPLES.glob("*.exs")}
    run = str((EXAMPLES / "livebooks/run.exs").relative_to(ROOT))
    livebooks = {path.stem: [run, path.stem] for path in EXAMPLES.glob("livebooks/*.livemd")}
    found = {**scripts, **livebooks}
    return {name: found[name] for name in sorted(found, key=lambda it: (it not in LONGEST, it))}


def run(name: str, arguments: Sequence[str]) -> tuple[str, float, int]:
    """Runs an example, prints its output, and returns its name, seconds and exit status."""
    began = time.monotonic()
    watched = [sys.executable, str(ROOT / "tests/leaving_nothing.py")]
    # It would take the place of the `kv_cache_memory_bytes` in the examples.
    environment = {k: v for k, v in os.environ.items() if k != "VLLM_CPU_KVCACHE_SPACE"}
    done = subprocess.run(
        [*watched, "timeout", str(PATIENCE), "mix", "run", *arguments],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    seconds = time.monotonic() - began
    with _printing:
        print(f"\n--- mix run {' '.join(arguments)}\n\n{done.stdout}", flush=True)
    return name, seconds, done.returncode


def main(wanted: Sequence[str]) -> int:
    """Runs the examples whose names contain one of those wanted, or all."""
    chosen = {
        name: arguments
        for name, arguments in commands().items()
        if not wanted or any(it in name for it in wanted)
    }
    # Once, because two that run at a time must not both compile.
    subprocess.run(["mix", "compile"], cwd=ROOT, check=True)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        results = list(pool.map(run, chosen.keys(), chosen.values()))
    for name, seconds, status in results:
        print(f"{name:34} {seconds:4.0f} s  {'' if status == 0 else 'FAILED'}".rstrip())
    return 0 if results and not any(status for _, _, status in results) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
