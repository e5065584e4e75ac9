"""Structured outputs: a refusal says what is refused, and a back end gets what it can compile.

vLLM checks a structure with the back end that is to compile it. Three things are missing:

- Its refusals name no keyword, or no place. See ``structure_faults``.
- With ``auto`` it chooses a back end for each request, but EngineCore keeps that of the first for
  all others. It compiles what it was never asked about: at best the request ends with an error
  that has no words, at worst keywords are ignored.
- A grammar that nothing matches is compiled. Then no token is left, or the answer is empty.
  The same holds for a schema that leads back to itself: see ``schema_cycles``.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import Any, Protocol

from python_worker.engines.guards.protocols import StructuredOutputsConfig, StructuredOutputsParams
from python_worker.engines.guards.schema_cycles import find_cycle
from python_worker.engines.guards.structure_faults import Fault, find_fault
from python_worker.exceptions import InvalidArgument
from python_worker.process import large_work

AUTO = "auto"
AUTO_ORDER = ("xgrammar", "guidance", "outlines")
"""What vLLM asks then: the first, and one of the others where that refuses."""

FORMS = ("json", "regex", "choice", "grammar", "json_object", "structural_tag")

MAX_TRIED_CHARS = 20_000
"""A longer grammar is not tried: compiling it takes too long to be done twice."""

TRIED_FORMS: Mapping[str, Collection[str]] = {
    # Its schemas have a place where nothing matches only if they lead back to themselves.
    "xgrammar": ("regex", "grammar"),
    "guidance": ("json", "regex", "grammar", "structural_tag"),
}
"""By the name of a back end the forms that may match nothing."""

PREFIX = re.compile(r"\[\d\d:\d\d:\d\d\] \S+:\d+: ")
"""What xgrammar's messages begin with: the time, and a line of its own sources."""

Validators = Mapping[str, Callable[[Any], None]]
"""By the name of a back end what checks parameters with it; raises where it refuses them."""


class Backends(Protocol):
    """What is called of vLLM's back ends."""

    @property
    def validators(self) -> Validators:
        """By their names."""

    @property
    def strict(self) -> Collection[str]:
        """Those whose check here finds more than vLLM's."""

    def matches_nothing(self, structure: StructuredOutputsParams, backend: str) -> bool:
        """Whether a back end leaves no token to begin with; False where that is not known."""


class Structures:
    """The structured outputs of one engine.

    Args:
        config: How the engine compiles them.
        backends: What compiles them.
        validate: vLLM's check of a request's parameters.
    """

    def __init__(
        self,
        config: StructuredOutputsConfig,
        backends: Backends,
        validate: Callable[[object, object], object],
    ) -> None:
        self._config = config
        self._backends = backends
        self._validate = validate
        # That of the first request, where the configuration leaves it open.
        self._settled: str | None = None

    def validate(self, params: object, supported_tasks: object) -> object:
        """In place of vLLM's check of parameters, which may run in a thread."""
        structure: StructuredOutputsParams | None = getattr(params, "structured_outputs", None)
        if structure is None:
            return self._validate(params, supported_tasks)
        given = copy.copy(structure)  # vLLM rewrites it
        try:
            result = self._validate(params, supported_tasks)
        except Exception as error:
            refusals = self._refusals(given, error)
            if not refusals:
                raise
            raise refusal(given, refusals) from error
        self._check_strictly(given)
        check_cycles(given)
        self._check_matches(given, structure._backend)
        return result

    def _refusals(self, structure: StructuredOutputsParams, error: Exception) -> dict[str, Refused]:
        """What refused a structure; nothing where that was no back end."""
        backend = self._config.backend
        asked = AUTO_ORDER if backend == AUTO else (backend,)
        found = refusals_of(structure, self._backends.validators, asked)
        words = words_of(error)
        if all(it.words != words for it in found.values()):
            return {}
        # With ``auto`` the first refused it too, or no other would have been asked.
        return {name: it for name, it in found.items() if name == asked[0] or it.words == words}

    def _check_strictly(self, given: StructuredOutputsParams) -> None:
        """Refuse what vLLM has let through, and its back end will not compile."""
        backend = self._config.backend
        if backend in self._backends.strict:
            refusals = refusals_of(given, self._backends.validators, [backend])
            if refusals:
                raise refusal(given, refusals)

    def _check_matches(self, given: StructuredOutputsParams, backend: str | None) -> None:
        if backend is None or backend not in TRIED_FORMS:
            return
        form = form_of(given)
        tried = getattr(given, form)
        if form not in TRIED_FORMS[backend] or len(str(tried)) > MAX_TRIED_CHARS:
            return
        if self._backends.matches_nothing(given, backend):
            parameter = f"sampling_params.structured_outputs.{form}"
            raise InvalidArgument(
                f"{parameter}: nothing matches it, so no token is left to choose",
                parameter=parameter,
            )

    async def check_backend(self, structure: StructuredOutputsParams) -> None:
        """Refuse a structure that the engine's back end does not know, though another does."""
        settled = self._settled
        if settled is not None and structure._backend != settled:
            await large_work.in_thread(partial(self._check_settled, structure, settled))

    def settle(self, structure: StructuredOutputsParams) -> None:
        """Note that EngineCore gets a structure now: its first one decides on the back end."""
        if self._settled is None and self._config.backend == AUTO:
            self._settled = structure._backend

    def _check_settled(self, structure: StructuredOutputsParams, settled: str) -> None:
        refusals = refusals_of(structure, self._backends.validators, [settled])
        if refusals:
            raise refusal(
                structure,
                refusals,
                f"this engine compiles all structures with {settled}, as its first; name another "
                "back end in structured_outputs_config",
            )
        self._check_matches(structure, settled)


@dataclass(frozen=True)
class Refused:
    """What a back end says of a structure.

    Attributes:
        words: Its error.
        fault: What it is about, if that could be found.
    """

    words: str
    fault: Fault | None


def refusals_of(
    structure: StructuredOutputsParams, validators: Validators, asked: Iterable[str]
) -> dict[str, Refused]:
    """What back ends say of a structure; nothing of those that take it."""
    found: dict[str, Refused] = {}
    for name in asked:
        # Those that are not installed are not asked, as vLLM does not.
        validate = validators.get(name)
        words = None if validate is None else refused_with(validate, copy.copy(structure))
        if validate is not None and words is not None:
            found[name] = Refused(words, fault_in(structure, validate))
    return found


def refused_with(validate: Callable[[Any], None], structure: object) -> str | None:
    """Why a back end refuses a structure; None if it does not."""
    try:
        validate(SimpleNamespace(structured_outputs=structure))
    except Exception as error:
        return words_of(error)
    return None


def fault_in(structure: StructuredOutputsParams, validate: Callable[[Any], None]) -> Fault | None:
    """What a back end refuses in a JSON schema or a structural tag."""
    form = form_of(structure)
    if form not in ("json", "structural_tag"):
        return None
    given = getattr(structure, form)

    def refuse(schema: object) -> str | None:
        changed = copy.copy(structure)
        setattr(changed, form, json.dumps(schema) if isinstance(given, str) else schema)
        return refused_with(validate, changed)

    try:
        return find_fault(json.loads(given) if isinstance(given, str) else given, refuse)
    except (ValueError, RecursionError):  # no JSON, or nested too deeply
        return None


def refusal(
    structure: StructuredOutputsParams, refusals: Mapping[str, Refused], why: str | None = None
) -> InvalidArgument:
    """The error for a structure that is refused.

    Args:
        structure: As the client gave it.
        refusals: By the names of the back ends.
        why: Why it was they that were asked.
    """
    parameter = f"sampling_params.structured_outputs.{form_of(structure)}"
    said = [f"{name} does not take {it.fault or 'it'}: {it.words}" for name, it in refusals.items()]
    details: dict[str, object] = {"parameter": parameter}
    fault = next((it.fault for it in refusals.values() if it.fault is not None), None)
    if fault is not None:
        details |= {"keywords": list(fault.keywords), "pointer": fault.pointer}
    return InvalidArgument(f"{parameter}: {'; '.join(said + ([why] if why else []))}", **details)


def check_cycles(structure: StructuredOutputsParams) -> None:
    """Refuse a JSON schema that leads back to itself, whatever compiles it.

    Raises:
        InvalidArgument: It has the pointer to the place.
    """
    form = form_of(structure)
    if form not in ("json", "structural_tag"):
        return
    given = getattr(structure, form)
    for place, schema in schemas_in(json.loads(given) if isinstance(given, str) else given, form):
        cycle = find_cycle(schema)
        if cycle is not None:
            parameter = f"sampling_params.structured_outputs.{form}"
            pointer = place + cycle
            raise InvalidArgument(
                f"{parameter}: $ref at {pointer or 'the root'} leads back to itself, and nothing "
                "is described on the way: no text matches it",
                parameter=parameter,
                keywords=["$ref"],
                pointer=pointer,
            )


def schemas_in(given: Any, form: str) -> Iterator[tuple[str, object]]:
    """The JSON schemas of a structure, each with a pointer to it."""
    if form == "json":
        yield "", given
        return
    waiting: list[tuple[str, Any]] = [("", given)]
    while waiting:
        pointer, node = waiting.pop()
        inner = node.items() if isinstance(node, dict) else enumerate(node)
        for name, value in inner:
            place = f"{pointer}/{name}"
            if name in ("schema", "json_schema"):
                yield place, value
            elif isinstance(value, (dict, list)):
                waiting.append((place, value))


def form_of(structure: StructuredOutputsParams) -> str:
    """Which form a structure is given in."""
    return next(name for name in FORMS if getattr(structure, name) is not None)


def words_of(error: Exception) -> str:
    """What a back end says, with what vLLM leaves out of its own message."""
    words = str(error)
    cause = str(error.__cause__ or "")
    if cause not in words:
        words = f"{words} {cause}"
    return PREFIX.sub("", words).strip()
