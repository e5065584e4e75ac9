"""The arguments of an ``LLM``'s constructors, and those of its methods that no client can send."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping, Sequence
from typing import Any

from python_worker.engines.argument_names import naming_arguments
from python_worker.engines.builder import NEW
from python_worker.engines.constructors import imported
from python_worker.engines.parameter_classes import given_of
from python_worker.exceptions import InvalidArgument
from python_worker.validation import signatures
from python_worker.validation.annotations import checker
from python_worker.validation.constraints import check_of
from python_worker.validation.renamed_parameters import GivenArguments
from python_worker.validation.type_hints import hints_of

CONSTRUCTORS = frozenset({NEW, "from_engine_args"})

#: The outputs that ``wait_for_completion`` may be told to expect, by name.
OUTPUT_TYPES = ("RequestOutput", "PoolingRequestOutput")


def construct(llm_class: Any, method: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Check the arguments of a constructor and make an ``LLM``.

    Args:
        llm_class: The class that is served as ``LLM``.
        method: One of ``CONSTRUCTORS``.
        args: As they came.
        kwargs: As they came.

    Raises:
        InvalidArgument: An argument is wrong.
    """
    engine_args = hints_of(llm_class.from_engine_args)["engine_args"]
    if method != NEW:
        signature = signatures.signature_of(llm_class.from_engine_args, strict=True)
        bound, named = signature.bind(args, kwargs)
        with naming_arguments(given_of(args[0] if args else kwargs.get("engine_args"))):
            return llm_class.from_engine_args(*bound, **named)
    initialise = types.MethodType(llm_class.__init__, llm_class)
    signature = signatures.signature_of(initialise, strict=True)
    signature = dataclasses.replace(signature, name=NEW)
    own = signature.signature.parameters
    more = engine_arguments(
        {name: value for name, value in kwargs.items() if name not in own}, engine_args
    )
    bound, named = signature.bind(args, {n: v for n, v in kwargs.items() if n in own})
    with naming_arguments({**named, **more}):
        return llm_class(*bound, **named, **more)


def engine_arguments(given: Mapping[str, Any], engine_args: Any) -> dict[str, Any]:
    """The keywords that ``LLM(...)`` passes on to ``EngineArgs``, checked as its fields.

    Raises:
        InvalidArgument: There is no such field, or it takes no such value.
    """
    fields = {field.name for field in dataclasses.fields(engine_args) if field.init}
    hints = hints_of(engine_args)
    checked = {}
    for name, value in given.items():
        if name not in fields:
            raise InvalidArgument(
                f"new() has no parameter {name!r}; beside its own it takes the fields of "
                f"{engine_args.__name__}",
                parameter=name,
                method=NEW,
            )
        check = check_of(engine_args.__name__, name, hints.get(name, Any), checker)
        checked[name] = check(value, name)
    return checked


def name_output_type(given: GivenArguments) -> None:
    """Take the output type of ``wait_for_completion`` by its name.

    Raises:
        InvalidArgument: There is no output of that name.
    """
    names = given.get("output_type")
    if names is None:
        return
    several = names if isinstance(names, (list, tuple)) else [names]
    given.set("output_type", tuple(_output_type(name) for name in several))


def _output_type(name: object) -> Any:
    if name not in OUTPUT_TYPES:
        raise InvalidArgument(
            f"output_type: wants one of {', '.join(OUTPUT_TYPES)}, or several in a list, "
            f"got {name!r}",
            parameter="output_type",
        )
    return imported(f"vllm.outputs:{name}", "output_type")


def import_function(given: GivenArguments) -> None:
    """Take the function of ``apply_model`` by its import path, ``module:function``.

    Raises:
        InvalidArgument: It is no import path, or names nothing that can be called.
    """
    path = given.get("func")
    if path is None:
        return
    if not isinstance(path, str):
        raise InvalidArgument(
            f"func: wants an import path, 'module:function', got {type(path).__name__}",
            parameter="func",
        )
    given.set("func", imported(path, "func"))


def spell_prompts_out(given: GivenArguments) -> None:
    """Take texts and token ids as prompts of a beam search.

    vLLM takes them too, and documents it; its annotation names only maps.
    """
    prompts = given.get("prompts")
    if isinstance(prompts, list):
        given.set("prompts", [_as_map(prompt) for prompt in prompts])


def _as_map(prompt: object) -> object:
    if isinstance(prompt, str):
        return {"prompt": prompt}
    return {"prompt_token_ids": prompt} if isinstance(prompt, list) else prompt


TRANSLATIONS = {
    "wait_for_completion": name_output_type,
    "apply_model": import_function,
    "beam_search": spell_prompts_out,
}
"""What is done to the arguments of a method before they are checked."""
