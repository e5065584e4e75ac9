"""Gives random bytes to what reads a client's: `wire/`, the codec and the gate.

    python -m tests.fuzz MINUTES [TARGET …] [--seed N] [--keep]

Inputs are made of those in `corpus/TARGET/`. One that reaches a line of the worker that none has
reached is used to make others, and with `--keep` goes into the corpus. The tests of both languages
read the corpus: `tests/python/unit/test_fuzz.py`, and the Elixir tests of the codec and of HTTP/2.

Found is an exception that the target does not allow, an input that takes five seconds of a core,
and memory that grows: each is written into the corpus, so that the tests fail with it.
"""

from __future__ import annotations

import argparse
import faulthandler
import hashlib
import logging
import random
import resource
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from tests.fuzz.coverage import NewLines
from tests.fuzz.mutators import mutated
from tests.fuzz.targets import TARGETS, Target, add_vllm

CORPUS = Path(__file__).with_name("corpus")
LONGEST_SECONDS = 5.0
# Of the clock, for so many inputs: on a busy machine most of that time belongs to others.
HANGS_SECONDS = 600.0
WATCHED = 50
LEAST = 50
MOST_MEGABYTES = 512


def inputs(name: str) -> list[bytes]:
    """Returns the corpus of a target."""
    return [path.read_bytes() for path in sorted((CORPUS / name).iterdir()) if path.is_file()]


def save(name: str, kind: str, data: bytes) -> Path:
    """Writes an input into the corpus."""
    path = CORPUS / name / f"{kind}-{hashlib.sha256(data).hexdigest()[:12]}"
    path.write_bytes(data)
    return path


def megabytes() -> float:
    """Returns the memory that the process has had at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def run(name: str, target: Target, seconds: float, seed: int, keep: bool) -> int:
    """Fuzzes one target; returns how many inputs have failed."""
    dice = random.Random(f"{seed} {name}")
    seeds = inputs(name)
    for data in seeds:
        target(data)  # What is imported and cached at first is none of an input's lines.
    lines, begun, before = NewLines(), time.monotonic(), megabytes()
    for data in seeds:
        target(data)
    known, executions, kept, failed, slowest = lines.count, 0, 0, 0, 0.0
    while executions < LEAST or time.monotonic() - begun < seconds:
        if executions % WATCHED == 0:
            # An input that hangs shows where, and ends the run.
            faulthandler.dump_traceback_later(HANGS_SECONDS, exit=True, file=2)
        data = mutated(seeds, dice)
        reached, started = lines.count, time.process_time()
        try:
            target(data)
        except Exception:
            failed += 1
            print(f"{name}: {save(name, 'failed', data)}", traceback.format_exc(), sep="\n")
        took = time.process_time() - started
        slowest = max(slowest, took)
        if took > LONGEST_SECONDS:
            failed += 1
            print(f"{name}: {save(name, 'slow', data)} took {took:.1f} s of a core")
        if lines.count > reached:
            seeds.append(data)
            kept += 1
            if keep:
                save(name, "reached", data)
        executions += 1
    faulthandler.cancel_dump_traceback_later()
    lines.close()
    grown = megabytes() - before
    if grown > MOST_MEGABYTES:
        failed += 1
    print(
        f"{name}: {executions} executions in {seconds / 60:.1f} minutes, {known} lines by the "
        f"corpus and {lines.count - known} more by {kept} inputs, the slowest {slowest:.2f} s, "
        f"{grown:.0f} MB more memory, {failed} failed",
        flush=True,
    )
    return failed


def main(argv: Sequence[str]) -> int:
    """Fuzzes the targets one after the other, each for its share of the time."""
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__.splitlines()[0])
    parser.add_argument("minutes", type=float)
    parser.add_argument("targets", nargs="*", metavar="target", help=", ".join(TARGETS))
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    parser.add_argument("--keep", action="store_true", help="add what reaches new lines")
    options = parser.parse_args(argv)
    chosen = options.targets or list(TARGETS)
    print(f"seed {options.seed}", flush=True)
    logging.disable()  # vLLM warns of odd values.
    if "gate" in chosen:
        add_vllm()
    share = 60 * options.minutes / len(chosen)
    failed = [run(name, TARGETS[name], share, options.seed, options.keep) for name in chosen]
    return 1 if any(failed) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
