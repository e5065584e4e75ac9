"""Lets torchvision and torchaudio be imported where their compiled parts do not fit the torch.

From the general index both come as CUDA builds, whose libraries a CPU torch cannot load. What vLLM
and transformers use of them is Python on top of torch. It is kept out of reach by two things alone:
torchvision registers shapes for two operators that its library declares, and torchaudio raises for
a library that is there and does not load, where it goes on without one that is missing.

Set-up copies this file into the environment as ``_vllm_bridge_compiled_parts``, beside a ``.pth``
file that imports it, so that it works in every process of that Python, those of vLLM included. No
file of either package is changed, and a build that fits keeps its compiled parts. It must be quick:
every start of that Python imports it.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:  # importing `typing` takes longer than all the rest
    from collections.abc import Callable
    from typing import Any

_declared: list[Any] = []
"""What declared operators: they are gone when it is."""


def declare_operators(extension: Any) -> None:
    """Declares what torchvision registers shapes for, if its library did not.

    Args:
        extension: The module ``torchvision.extension``.
    """
    if extension._has_ops():
        return
    library = extension.torch.library.Library("torchvision", "FRAGMENT")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _declared.append(library)


def take_for_missing(utils: Any) -> None:
    """Has torchaudio take a library that does not load for one that is missing.

    Args:
        utils: The module ``torchaudio._extension.utils``.
    """
    load = utils._load_lib

    def load_or_miss(library: str) -> bool:
        try:
            return bool(load(library))
        except OSError:
            return False

    utils._load_lib = load_or_miss


AFTER: dict[str, Callable[[Any], None]] = {
    "torchvision.extension": declare_operators,
    "torchaudio._extension.utils": take_for_missing,
}
"""What is done when a module has been imported."""


class Finder:
    """Finds the modules of ``AFTER`` where Python does."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """The module's own specification, with one thing more to do after its import."""
        after = AFTER.get(name)
        if after is None:
            return None
        from importlib.machinery import PathFinder

        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def execute_and_more(module: Any) -> None:
                execute(module)
                after(module)

            vars(spec.loader)["exec_module"] = execute_and_more
        return spec


def install() -> None:
    """Has Python ask the finder first."""
    sys.meta_path.insert(0, Finder())


if __name__ == "_vllm_bridge_compiled_parts":  # not where set-up reads the file
    install()
