"""Engine configurations, and what constructors take that no client can send.

A configuration is an object of some thirty others, so it stays in the worker
and clients hold a reference to it. Engines are built from a copy: vLLM writes
into the configuration of a running engine, and so would its holder.

Classes and functions cannot be sent either. A client names an executor class
or a stat logger by its import path, ``module:Name``, and gets what that module
has under that name: code that the worker's own machine has installed.
"""

from __future__ import annotations

import copy
import dataclasses
import importlib
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from python_worker.engines.argument_names import naming_arguments
from python_worker.engines.builder import NEW
from python_worker.engines.parameter_classes import EngineArgsClass, given_of
from python_worker.exceptions import InvalidArgument
from python_worker.validation import signatures
from python_worker.validation.annotations import checker
from python_worker.validation.renamed_parameters import GivenArguments, translate
from python_worker.validation.type_hints import hints_of

# vLLM's names of executors, those of ``distributed_executor_backend``; "auto" is
# the one that the configuration has chosen.
AUTO = "auto"
BACKENDS = frozenset({AUTO, "mp", "uni", "ray", "external_launcher"})


class EngineArguments(EngineArgsClass):
    """The classes ``AsyncEngineArgs`` and ``EngineArgs``, as far as clients may call them."""

    async def create_engine_config(self, engine_args: Any, *args: Any, **kwargs: Any) -> object:
        """Make the configuration of an engine that is not built yet.

        Args:
            engine_args: An ``AsyncEngineArgs``, or a map of its fields.
            args: Those of vLLM's method of this name: ``usage_context``, ``headless``.
            kwargs: The same by name.

        Returns:
            A ``VllmConfig``, for ``AsyncLLM.from_vllm_config`` and ``new``.
        """

        def make(engine_class: Any) -> object:
            wanted = hints_of(engine_class.from_engine_args)
            create = self.made(self._find(engine_class), engine_args).create_engine_config
            signature = signatures.signature_of(create, strict=True)
            # vLLM's own annotation names what it imports for type checkers only.
            context = checker(wanted["usage_context"] | None)
            signature = dataclasses.replace(
                signature, checks={**signature.checks, "usage_context": context}
            )
            bound, named = signature.bind(args, kwargs)
            with naming_arguments(given_of(engine_args)):
                return create(*bound, **named)

        # In a thread that stays, as it imports vLLM and looks at the model.
        return await self._builder.load(make)


def construct(
    engine_class: Any, method: str, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Any:
    """Check the arguments of a constructor and build an engine.

    Args:
        engine_class: The class that is served as ``AsyncLLM``.
        method: One of ``builder.CONSTRUCTORS``.
        args: As they came.
        kwargs: As they came.

    Raises:
        InvalidArgument: An argument is wrong.
    """
    if method == NEW:
        constructor: Any = engine_class
        initialise = types.MethodType(engine_class.__init__, engine_class)
        signature = signatures.signature_of(initialise, strict=True)
        signature = dataclasses.replace(signature, name=NEW)
    else:
        constructor = getattr(engine_class, method)
        signature = signatures.signature_of(constructor, strict=True)
    arguments = GivenArguments(list(signature.signature.parameters), args, kwargs)
    translate(method, arguments)
    for name, resolve in RESOLVED.items():
        if arguments.get(name) is not None:
            arguments.set(name, resolve(arguments, engine_class))
    bound, named = signature.bind(arguments.args, arguments.kwargs)
    with naming_arguments(given_of(arguments.get("engine_args"))):
        return constructor(*bound, **named)


def _own_config(arguments: GivenArguments, engine_class: Any) -> Any:
    given = arguments.get("vllm_config")
    # The check would make one of a map, and an engine needs what only vLLM fills in.
    if not isinstance(given, hints_of(engine_class.__init__)["vllm_config"]):
        raise InvalidArgument(
            "vllm_config: wants a VllmConfig, as AsyncEngineArgs.create_engine_config makes it, "
            f"got {type(given).__name__}",
            parameter="vllm_config",
        )
    return copy.deepcopy(given)


def _executor_class(arguments: GivenArguments, engine_class: Any) -> Any:
    name = arguments.get("executor_class")
    if not isinstance(name, str):
        return name
    # type[Executor], so that this module need not import it.
    (executor,) = typing.get_args(hints_of(engine_class.__init__)["executor_class"])
    if name in BACKENDS:
        config = copy.deepcopy(arguments.get("vllm_config"))
        if not hasattr(config, "parallel_config"):
            return name  # the check of the annotation says what vllm_config has to be
        if name != AUTO:
            config.parallel_config.distributed_executor_backend = name
        return executor.get_class(config)
    found = imported(name, "executor_class")
    if not (isinstance(found, type) and issubclass(found, executor)):
        raise InvalidArgument(
            f"executor_class: {name} is no subclass of vLLM's Executor",
            parameter="executor_class",
        )
    return found


def _stat_loggers(arguments: GivenArguments, _engine_class: Any) -> Any:
    given = arguments.get("stat_loggers")
    if not isinstance(given, (list, tuple)):
        return given
    return [
        imported(it, f"stat_loggers[{index}]") if isinstance(it, str) else it
        for index, it in enumerate(given)
    ]


RESOLVED: Mapping[str, Callable[[GivenArguments, Any], Any]] = {
    "vllm_config": _own_config,
    "executor_class": _executor_class,
    "stat_loggers": _stat_loggers,
}


def imported(path: str, parameter: str) -> Any:
    """What an import path names.

    Raises:
        InvalidArgument: It is no import path, or names nothing that can be called.
    """
    module, colon, name = path.partition(":")
    if not (colon and module and name):
        raise InvalidArgument(
            f"{parameter}: wants an import path, 'module:Name', got {path!r}", parameter=parameter
        )
    try:
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, ValueError) as error:
        raise InvalidArgument(f"{parameter}: {path}: {error}", parameter=parameter) from error
    if not callable(found):
        raise InvalidArgument(f"{parameter}: {path} is not callable", parameter=parameter)
    return found
