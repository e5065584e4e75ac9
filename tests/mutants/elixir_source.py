"""The changes that can be made to Elixir sources; `elixir_source.exs` finds them."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.mutants.mutation import Mutation, offsets, read

FINDER = Path(__file__).with_suffix(".exs")


def mutations(paths: Sequence[Path]) -> dict[Path, list[Mutation]]:
    """Returns every change of each source, in no order."""
    found: dict[Path, list[Mutation]] = {path: [] for path in paths}
    if not paths:
        return found
    listed = subprocess.run(
        ["elixir", str(FINDER), *map(str, paths)], capture_output=True, text=True, check=True
    )
    starts = {path: offsets(read(path)) for path in paths}
    for row in listed.stdout.splitlines():
        name, line, column, last, behind, new = row.split("\t")
        place = starts[path := Path(name)]
        start = place[int(line) - 1] + int(column) - 1
        end = place[int(last) - 1] + int(behind) - 1
        found[path].append(Mutation(start, end, new))
    return found
