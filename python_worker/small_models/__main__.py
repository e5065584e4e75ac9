"""Makes a small model: ``python -m python_worker.small_models smollm2-135m-instruct``.

It prints the folder, or why there is none, on stdout, and its progress on stderr: one line for
each step, which begins with the model's name. The Elixir client reads both.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from python_worker.install.environment import cache_dir
from python_worker.install.progress import Progress, SetupError
from python_worker.small_models.catalogue import ADAPTERS, MODELS, Adapter, Model, make

#: The exit status if the machine is not ready: no package, no module, no room. A bug gives 1.
NOT_READY = 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m python_worker.small_models",
        description="Make a small real model, or an adapter of one, unless the cache has it.",
    )
    every: dict[str, Model | Adapter] = {**MODELS, **ADAPTERS}
    parser.add_argument("model", choices=sorted(every), help="the model or adapter")
    model = every[parser.parse_args(arguments).model]
    try:
        print(make(model, cache_dir(), Progress(model.name)))
    except SetupError as error:
        print(f"{error}\nWhat to do: {error.advice}.")
        return NOT_READY
    except OSError as error:
        print(f"{error}\nWhat to do: check that the folder can be written and has 500 MB free.")
        return NOT_READY
    return 0


if __name__ == "__main__":
    sys.exit(main())
