"""Has vLLM's build for CPUs take Ray, in every process that finds this folder on its path.

Ray knows two kinds of devices, and vLLM's platform of CPUs names neither. Here it says "GPU", of
which the cluster of the tests claims some.
"""

from __future__ import annotations

import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from typing import Any

PLATFORM = "vllm.platforms.cpu"


class RayOnCpu(MetaPathFinder):
    """Changes the platform when it is imported."""

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> ModuleSpec | None:
        """Finds the platform as usual; no other module."""
        if fullname != PLATFORM:
            return None
        spec = PathFinder.find_spec(fullname, path)
        assert spec is not None
        assert spec.loader is not None
        execute = spec.loader.exec_module

        def execute_and_change(module: Any) -> None:
            execute(module)
            module.CpuPlatform.ray_device_key = "GPU"

        spec.loader.exec_module = execute_and_change  # type: ignore[method-assign]
        return spec


sys.meta_path.insert(0, RayOnCpu())
