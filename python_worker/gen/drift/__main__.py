"""`python -m python_worker.gen.drift OTHER`: what another vLLM adds, removes or changes.

OTHER is a wheel, a folder that contains the `vllm` package (such as a site-packages), or a
manifest.json. The other vLLM is read and never imported, so it needs neither its torch nor
an installation. It is compared with the installed vLLM, which is read the same way; a
manifest is compared with the committed one.

Of source text it also says, class by class, whether the sources have changed that the direct
token path relies on, and which token path the other vLLM gets.

Exits with 0 where nothing differs, with 1 where something does, and with 2 when there is
nothing to compare.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from python_worker.gen import manifest
from python_worker.gen.drift import surface_diff, token_sources
from python_worker.gen.drift.package import installed, read_package
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
        sources = [] if _is_manifest(base) else token_report(base, options.other, other.version)
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return IMPOSSIBLE
    lines = surface_diff.report(ours, other)
    differs = bool(lines) or any(line.startswith(token_sources.DIFFERENT) for line in sources)
    print(f"vLLM {ours.version} -> {other.version}" + ("" if differs else ": no differences"))
    for line in [*lines, *sources]:
        print(line)
    return DIFFERENT if differs else NOTHING


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


def token_report(base: Path, other: Path, version: str) -> list[str]:
    """Compares the sources that the direct token path relies on."""
    packages = [read_package(path, "vllm") for path in (base, other)]
    ours, theirs = (token_sources.read(package) for package in packages if package is not None)
    return token_sources.report(ours, theirs, version)


def manifest_path() -> Path:
    """Gives the committed manifest."""
    return ROOT / manifest.PATH


def _is_manifest(path: Path) -> bool:
    return path.suffix == ".json"


if __name__ == "__main__":
    sys.exit(main())
