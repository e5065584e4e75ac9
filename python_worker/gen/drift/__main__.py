"""`python -m python_worker.gen.drift OTHER`: what another vLLM adds, removes or changes.

OTHER is a wheel, a folder that contains the `vllm` package (such as a site-packages), or a
manifest.json. The other vLLM is read and never imported, so it needs neither its torch nor
an installation. It is compared with the installed vLLM, which is read the same way; a
manifest is compared with the committed one.

Exits with 0 where nothing differs, with 1 where something does, and with 2 when there is
nothing to compare.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
from pathlib import Path

from python_worker.gen import manifest
from python_worker.gen.drift import surface_diff
from python_worker.gen.drift.package import read_package
from python_worker.gen.drift.surface import Surface, from_manifest
from python_worker.gen.drift.surface_source import from_source
from python_worker.gen.files import ROOT

NOTHING, DIFFERENT, IMPOSSIBLE = 0, 1, 2


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line.

    Returns:
        The exit status.
    """
    parser = argparse.ArgumentParser(prog="python -m python_worker.gen.drift", description=__doc__)
    parser.add_argument("other", type=Path, help="a wheel, a folder with vllm/, or a manifest.json")
    parser.add_argument("--base", type=Path, help="what to compare it with; the same kinds")
    options = parser.parse_args(arguments)
    try:
        other = read(options.other)
        base = options.base or (manifest_path() if _is_manifest(options.other) else installed())
        if _is_manifest(base) != _is_manifest(options.other):
            raise ValueError("a manifest is compared with a manifest, and source with source")
        ours = read(base)
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return IMPOSSIBLE
    lines = surface_diff.report(ours, other)
    print(f"vLLM {ours.version} -> {other.version}" + ("" if lines else ": no differences"))
    for line in lines:
        print(line)
    return DIFFERENT if lines else NOTHING


def read(path: Path) -> Surface:
    """Reads a surface.

    Raises:
        ValueError: There is no vLLM at this path.
    """
    if _is_manifest(path):
        return from_manifest(json.loads(path.read_text(encoding="utf-8")))
    package = read_package(path, "vllm")
    if package is None:
        raise ValueError(f"{path}: neither a wheel nor a folder with the package vllm in it")
    found = from_source(package, manifest.load())
    if "AsyncLLM" not in found.classes:
        raise ValueError(f"{path}: has no class AsyncLLM")
    return found


def installed() -> Path:
    """Finds the installed vLLM without importing it.

    Raises:
        ValueError: There is none.
    """
    spec = importlib.util.find_spec("vllm")
    if spec is None or not spec.submodule_search_locations:
        raise ValueError("no vLLM is installed to compare with: name another with --base")
    return Path(next(iter(spec.submodule_search_locations)))


def manifest_path() -> Path:
    """Gives the committed manifest."""
    return ROOT / manifest.PATH


def _is_manifest(path: Path) -> bool:
    return path.suffix == ".json"


if __name__ == "__main__":
    sys.exit(main())
