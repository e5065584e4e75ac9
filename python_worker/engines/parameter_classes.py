"""VLLM's parameter classes, served by name: a client asks the real class without an engine.

On the client parameters are values: structs of the fields that were given. So each call makes the
object, asks it, and returns values.
"""

from __future__ import annotations

import dataclasses
import enum
import importlib
import inspect
import re
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from python_worker.codec.types import Record
from python_worker.engines.builder import Builder
from python_worker.engines.plain_values import changed, differ, plain, public_fields
from python_worker.exceptions import InvalidArgument, NotServed
from python_worker.validation.annotations import checker
from python_worker.validation.classes import fields_of
from python_worker.validation.type_hints import hints_of

PATHS: Mapping[str, str] = {
    "SamplingParams": "vllm.sampling_params",
    "StructuredOutputsParams": "vllm.sampling_params",
    "RepetitionDetectionParams": "vllm.sampling_params",
    "BeamSearchParams": "vllm.sampling_params",
    "PoolingParams": "vllm.pooling_params",
    "LoRARequest": "vllm.lora.request",
    "EngineArgs": "vllm.engine.arg_utils",
    "AsyncEngineArgs": "vllm.engine.arg_utils",
}
"""The classes, and the modules they are in."""

PARSER = "vllm.utils.argparse_utils"

# How argparse names what it refuses.
OPTION = re.compile(r"argument (?:-\w+/)?--([\w-]+)")

METHODS_WITH_PARAMETERS = ("generate", "encode", "from_engine_args")


class ParameterClass:
    """One of the classes.

    Args:
        builder: Loads vLLM.
        name: The name of the class.
    """

    def __init__(self, builder: Builder, name: str) -> None:
        self._builder = builder
        self.name = name
        self.parameter = parameter_of(name)

    async def new(self, fields: Any = ()) -> Record:
        """Check fields as the class does.

        Args:
            fields: A struct of the class, or a map.

        Returns:
            A struct of what was given. What vLLM makes of it says ``to_map``.
        """
        made = await self._make(fields)
        return self.record(given_of(fields), made)

    async def to_map(self, fields: Any = ()) -> dict[str, Any]:
        """All public fields of an object of the class, as it has them once it is made."""
        made = await self._make(fields)
        shown: dict[str, Any] = plain(made)
        if "skip_clone" in shown:  # the worker's own setting
            shown["skip_clone"] = given_of(fields).get("skip_clone", False)
        return shown

    def record(self, fields: Mapping[str, Any], made: Any) -> Record:
        """A struct of some fields of an object; names of enums become their members."""
        values = {name: getattr(made, name, value) for name, value in fields.items()}
        members = {name: it for name, it in values.items() if isinstance(it, enum.Enum)}
        return Record(self.name, {**fields, **members})

    async def _make(self, fields: Any) -> Any:
        return await self._with_class(lambda cls: self.made(cls, fields))

    def made(self, cls: Any, fields: Any) -> Any:
        """An object of the class.

        Raises:
            InvalidArgument: The class does not accept the fields.
        """
        return checker(cls)({} if fields == () else fields, self.parameter)

    async def _with_class(self, function: Callable[[Any], Any]) -> Any:
        """Call a function with the class, in a thread: the first call imports vLLM."""
        return await self._builder.load(lambda engine_class: function(self._find(engine_class)))

    def _find(self, engine_class: Any) -> Any:
        if self._builder.serves_vllm:
            return getattr(importlib.import_module(PATHS[self.name]), self.name)
        return annotated_class(engine_class, self.name)


class SamplingParamsClass(ParameterClass):
    """``SamplingParams``."""

    async def num_logprobs(self, fields: Any = ()) -> int | None:
        """How many logprobs each token of an output gets; None for none."""
        made = await self._make(fields)
        count: int | None = made.num_logprobs
        return count

    async def update_from_generation_config(
        self, fields: Any, generation_config: Any, eos_token_id: Any = None
    ) -> Record:
        """The parameters with what a model's generation config adds: tokens that stop.

        Args:
            fields: As for ``new``.
            generation_config: A map, as in ``generation_config.json``.
            eos_token_id: The tokenizer's own, which ends a text in any case.
        """
        config = checker(dict[str, Any])(generation_config, "generation_config")
        path = "generation_config['eos_token_id']"
        checker(int | list[int] | None)(config.get("eos_token_id"), path)
        eos = checker(int | None)(eos_token_id, "eos_token_id")
        made = await self._make(fields)
        before = list(made.stop_token_ids or ())
        made.update_from_generation_config(config, eos)
        given = given_of(fields)
        if made.stop_token_ids != before:
            given = {**given, "stop_token_ids": made.stop_token_ids}
        return self.record(given, made)

    async def for_sampler_warmup(self) -> Record:
        """The parameters with which vLLM warms its sampler up."""

        def make(cls: Any) -> Record:
            made = cls.for_sampler_warmup()
            return self.record(changed(public_fields(made) or {}, made), made)

        made: Record = await self._with_class(make)
        return made


class EngineArgsClass(ParameterClass):
    """``EngineArgs`` or ``AsyncEngineArgs``."""

    async def parse_cli(self, arguments: Any) -> Record:
        """The engine arguments of a command line, as ``vllm serve`` takes them.

        Args:
            arguments: The words of the command line.

        Returns:
            A struct of the fields that the command line sets.
        """
        words = checker(list[str])(arguments, "arguments")
        if not self._builder.serves_vllm:
            raise NotServed(f"{self.name}.parse_cli needs vLLM, which this worker does not serve")

        def parse(cls: Any) -> Record:
            make = importlib.import_module(PARSER).FlexibleArgumentParser
            parser = cls.add_cli_args(make(prog=self.name, add_help=False))
            # Some defaults of the parser are not those of the class.
            nothing = parsed(cls, parser, [])
            made = parsed(cls, parser, words)
            fields = {name: it for name, it in made.items() if differ(it, nothing[name])}
            return Record(self.name, fields)

        made: Record = await self._with_class(parse)
        return made


def parsed(cls: Any, parser: Any, words: Sequence[str]) -> dict[str, Any]:
    """The fields of the engine arguments that a command line sets, and the defaults of the others.

    No object is made of them: vLLM looks for the model then, and without a network finds none.

    Raises:
        InvalidArgument: A word is not understood; it names the argument.
    """
    parser.error = refuse_words
    try:
        found = vars(parser.parse_args(list(words)))
    # What ends a program, such as ``--version``, and a word that is missing at the end.
    except (SystemExit, IndexError) as error:
        raise InvalidArgument(
            "arguments: they are not those of an engine, or not complete", parameter="arguments"
        ) from error
    names = [it.name for it in dataclasses.fields(cls) if it.init]
    return {name: plain(found[name]) for name in names if name in found}


def refuse_words(message: str) -> typing.NoReturn:
    """In place of the parser's own, which ends the process.

    Raises:
        InvalidArgument: Always.
    """
    found = OPTION.search(message)
    name = "arguments" if found is None else found[1].replace("-", "_")
    raise InvalidArgument(f"arguments: {message}", parameter=name)


def parameter_of(name: str) -> str:
    """What an object of a class is called in errors: ``sampling_params``, ``engine_args``."""
    words = name.removeprefix("Async").replace("LoRA", "Lora")
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", words).lower()


def given_of(fields: Any) -> dict[str, Any]:
    """The fields as they were given."""
    if isinstance(fields, Record):
        return dict(fields.fields)
    return dict(fields) if isinstance(fields, dict) else {}


def annotated_class(engine_class: Any, name: str) -> Any:
    """The class of a name that the methods of an engine class take, for one that is not vLLM's.

    Raises:
        NotServed: They take none.
    """
    methods = [getattr(engine_class, it, None) for it in METHODS_WITH_PARAMETERS]
    waiting = [hint for it in methods if it is not None for hint in hints_of(it).values()]
    seen: set[Any] = set()
    while waiting:
        hint = waiting.pop()
        waiting += typing.get_args(hint)
        if not inspect.isclass(hint) or hint in seen:
            continue
        seen.add(hint)
        if name in (getattr(hint, "__bridge_record__", None), hint.__name__):
            return hint
        if fields_of(hint) is not None:
            waiting += hints_of(hint).values()
    raise NotServed(f"the engine class of this worker takes no {name}")
