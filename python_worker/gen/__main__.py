"""`python -m python_worker.gen`: makes the generated files, or checks that they are current.

The parts need different things: `protobuf` needs grpcio-tools and elixir (the
formatter), `manifest` the vLLM that is to be described, `elixir` only elixir.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from python_worker.gen import protobuf
from python_worker.gen.elixir import protobuf as elixir_protobuf
from python_worker.gen.elixir.text import format_all
from python_worker.gen.files import Files

# What describes vLLM imports modules of the worker, which read the generated messages when they are
# imported: so it is imported when the messages have been made.


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line.

    Returns:
        The exit status: 1 when `--check` found a file that is not current.
    """
    parser = argparse.ArgumentParser(prog="python -m python_worker.gen", description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    parser.add_argument("--only", choices=PARTS, help="one part instead of all")
    options = parser.parse_args(arguments)
    parts = [options.only] if options.only else list(PARTS)
    stale = 0
    for part in parts:
        for files in PARTS[part]():
            stale += _check(files) if options.check else _write(files)
    if stale and options.check:
        print(f"{stale} generated file(s) not current: run `make gen`", file=sys.stderr)
    return 1 if stale and options.check else 0


def _write(files: Files) -> int:
    changed = files.write()
    for path in changed:
        print(f"wrote {path}")
    return len(changed)


def _check(files: Files) -> int:
    differences = list(files.differences())
    for difference in differences:
        print(difference)
    return len(differences)


def _protobuf() -> list[Files]:
    descriptors, texts = protobuf.compile_protos()
    return [
        protobuf.python_files(descriptors, texts),
        elixir_protobuf.elixir_files(descriptors),
    ]


def _manifest() -> list[Files]:
    from python_worker.gen import manifest

    return [manifest.manifest_files()]


def _elixir() -> list[Files]:
    from python_worker.gen import manifest
    from python_worker.gen.elixir import classes, engines, structs

    loaded = manifest.load()
    texts = structs.struct_texts(loaded)
    texts[classes.PATH] = classes.classes_text(loaded)
    texts |= {it.path: engines.module_text(loaded, name) for name, it in engines.MODULES.items()}
    texts[engines.TIMEOUTS_PATH] = engines.timeouts_text(loaded)
    return [Files(format_all(texts), owned=(f"{structs.FOLDER}/*.ex",))]


PARTS: dict[str, Callable[[], list[Files]]] = {
    "protobuf": _protobuf,
    "manifest": _manifest,
    "elixir": _elixir,
}
"""What can be made, in an order in which each part finds what it reads."""


if __name__ == "__main__":
    sys.exit(main())
