"""The module ``vllm`` itself, as far as clients may call it: two functions."""

from __future__ import annotations

import importlib
import inspect
import types
from collections.abc import Callable, Mapping
from typing import Any

from python_worker.engines.builder import Builder
from python_worker.engines.plain_values import plain
from python_worker.exceptions import InvalidArgument, NotServed, Unsupported

SUBMODULES = frozenset(
    {
        *("assets", "benchmarks", "collect_env", "compilation", "config", "connections"),
        *("cute_utils", "device_allocator", "distributed", "engine", "entrypoints"),
        *("env_override", "exceptions", "forward_context", "inputs", "ir", "kernels", "logger"),
        *("logging_utils", "logits_process", "logprobs", "lora", "model_executor"),
        *("model_inspection", "models", "multimodal", "outputs", "parser", "platforms", "plugins"),
        *("pooling_params", "profiler", "ray", "reasoning", "renderers", "sampling_params"),
        *("scalar_type", "sequence", "third_party", "tokenizers", "tool_parsers", "tracing"),
        *("transformers_utils", "triton_utils", "usage", "utils", "v1", "version"),
    }
)
"""The submodules that vLLM documents. ``envs`` is not among them: it reads the environment of the
worker, where secrets are."""

DUNDER = frozenset({"__all__", "__doc__", "__version__", "__version_tuple__"})


class VllmModule:
    """The module.

    Args:
        builder: Loads vLLM.
    """

    def __init__(self, builder: Builder) -> None:
        self._builder = builder

    async def initialize_ray_cluster(
        self,
        parallel_config: Any,
        ray_address: str | None = None,
        require_gpu_on_driver: bool = True,
    ) -> None:
        """Start or join a Ray cluster for the engines of a configuration.

        Args:
            parallel_config: A ``ParallelConfig``, or the ``VllmConfig`` that has it.
            ray_address: Of a cluster that exists.
            require_gpu_on_driver: Whether this machine has to have a GPU.
        """

        def start(_engine_class: Any) -> None:
            self._check_served("initialize_ray_cluster")
            parts = importlib.import_module("vllm.v1.executor.ray_utils")
            if parts.ray is None:
                raise Unsupported(
                    "initialize_ray_cluster needs Ray, which the worker's Python does not have: "
                    "install `ray` there"
                )
            config = getattr(parallel_config, "parallel_config", parallel_config)
            wanted = importlib.import_module("vllm.config").ParallelConfig
            if not isinstance(config, wanted):
                raise InvalidArgument(
                    "parallel_config: wants a reference to a ParallelConfig or VllmConfig, got "
                    f"{type(config).__name__}",
                    parameter="parallel_config",
                )
            parts.initialize_ray_cluster(config, ray_address, require_gpu_on_driver)

        await self._builder.load(start)

    async def module_attr(self, path: str, name: str) -> object:
        """Read an attribute of the module or of a submodule that vLLM documents.

        Args:
            path: ``vllm``, or the name of a submodule, such as ``version``.
            name: The attribute.

        Returns:
            The value, if it is plain data. Of a class, a function or a module its ``kind``,
            ``name`` and ``doc``.
        """

        def read(_engine_class: Any) -> object:
            self._check_served("module_attr")
            return described(attribute(module(path), name))

        return await self._builder.load(read)

    def _check_served(self, name: str) -> None:
        if not self._builder.serves_vllm:
            raise NotServed(f"{name} needs vLLM, which this worker does not serve")


def module(path: str) -> types.ModuleType:
    """A documented module, imported.

    Raises:
        NotServed: It is not among them, or cannot be imported here.
    """
    short = path.removeprefix("vllm.") if isinstance(path, str) else None
    if short != "vllm" and short not in SUBMODULES:
        raise NotServed(
            f"path: {path!r} is none of vLLM's documented modules; those are vllm, "
            f"{', '.join(sorted(SUBMODULES))}",
            parameter="path",
        )
    try:
        return importlib.import_module("vllm" if short == "vllm" else f"vllm.{short}")
    except ImportError as error:
        raise NotServed(f"vllm.{short} cannot be imported here: {error}") from error


def attribute(of: types.ModuleType, name: str) -> object:
    """What a module holds under a name. No code of the module's runs for it.

    Raises:
        NotServed: Nothing, or it is private.
    """
    public = isinstance(name, str) and (name in DUNDER or not name.startswith("_"))
    if public and name in vars(of):
        return vars(of)[name]
    # The names of vLLM's page: it imports what they stand for when they are first read.
    if public and of.__name__ == "vllm" and name in vars(of).get("MODULE_ATTRS", ()):
        return getattr(of, name)
    raise NotServed(f"{of.__name__} has no public attribute {name!r}", parameter="name")


def described(value: object) -> object:
    """A value as plain data."""
    kinds: Mapping[str, Callable[[object], bool]] = {
        "class": inspect.isclass,
        "function": inspect.isroutine,
        "module": inspect.ismodule,
    }
    for kind, is_one in kinds.items():
        if is_one(value):
            return {"kind": kind, "name": full_name(value), "doc": inspect.getdoc(value)}
    return plain(value)


def full_name(value: Any) -> str:
    """The name of a class, function or module, with its module."""
    if inspect.ismodule(value):
        return value.__name__
    return f"{value.__module__}.{value.__qualname__}"
