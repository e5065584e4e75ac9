"""A structure that is refused is refused in words, and so is one for another back end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest

from python_worker.engines.guards.structures import Structures
from python_worker.exceptions import InvalidArgument


@dataclass
class Structure:
    """A StructuredOutputsParams."""

    json: Any = None
    regex: str | None = None
    choice: list[str] | None = None
    grammar: str | None = None
    json_object: bool | None = None
    structural_tag: str | None = None
    _backend: str | None = None


def xgrammar(params: Any) -> None:
    structure = params.structured_outputs
    if "unique" in str(structure):
        raise ValueError("The schema contains features not supported by xgrammar.")
    if structure.regex == "(":
        cause = RuntimeError("[10:11:12] /project/cpp/regex.cc:83: it is not closed")
        raise ValueError("Invalid regex.") from cause
    # vLLM's rewrites a choice too.
    if structure.choice:
        structure.grammar, structure.choice = "root ::= choice", None


def guidance(params: Any) -> None:
    if "patternProperties" in str(params.structured_outputs):
        raise ValueError('Unimplemented keys: ["patternProperties"]')
    if "uniqueItems" in str(params.structured_outputs):
        raise ValueError('Unimplemented keys: ["uniqueItems"]')


def strict(params: Any) -> None:
    raise ValueError("cannot be compiled")


class Backends:
    """Three back ends."""

    strict = frozenset({"lm-format-enforcer"})

    def __init__(self) -> None:
        self.validators: dict[str, Callable[[Any], None]] = {
            "xgrammar": xgrammar,
            "guidance": guidance,
            "lm-format-enforcer": strict,
        }

    def matches_nothing(self, structure: Any, backend: str) -> bool:
        assert backend in ("xgrammar", "guidance")
        return {structure.grammar, structure.regex} & {"root ::= root", "[^\\s\\S]"} != set()


def structures_of(backend: str) -> Structures:
    backends: Any = Backends()

    def validate(params: Any, supported_tasks: object) -> object:
        """As vLLM's check: of the structure last."""
        assert supported_tasks == ("generate",)
        if params.wrong:
            raise ValueError("another parameter is wrong")
        structure = params.structured_outputs
        structure._backend = backend if backend != "auto" else "xgrammar"
        if backend in backends.strict:
            return True
        try:
            backends.validators[structure._backend](params)
        except ValueError:
            if backend != "auto":
                raise
            backends.validators["guidance"](params)
            structure._backend = "guidance"
        return True

    config: Any = SimpleNamespace(backend=backend)
    return Structures(config, backends, validate)


def check(structures: Structures, structure: Any, *, wrong: bool = False) -> object:
    params = SimpleNamespace(structured_outputs=structure, wrong=wrong)
    return structures.validate(params, ("generate",))


@pytest.mark.parametrize(
    ("backend", "structure", "said", "details"),
    [
        (
            "xgrammar",
            Structure(json={"properties": {"a": {"uniqueItems": True, "items": {}}}, "title": "t"}),
            'xgrammar does not take uniqueItems at /properties/a, in {"uniqueItems": true}: The',
            {"keywords": ["uniqueItems"], "pointer": "/properties/a"},
        ),
        (
            "guidance",
            Structure(json='{"items": {"patternProperties": {}}}'),
            "guidance does not take patternProperties at /items",
            {"keywords": ["patternProperties"], "pointer": "/items"},
        ),
        (
            "auto",
            Structure(json={"uniqueItems": True}),
            "not supported by xgrammar.; guidance does not take uniqueItems at the root, in",
            {"keywords": ["uniqueItems"], "pointer": ""},
        ),
        (
            "xgrammar",
            Structure(structural_tag='{"structures": [{"schema": {"uniqueItems": true}}]}'),
            "xgrammar does not take uniqueItems at /structures/0/schema",
            {"keywords": ["uniqueItems"], "pointer": "/structures/0/schema"},
        ),
        (
            "xgrammar",
            Structure(regex="("),
            "structured_outputs.regex: xgrammar does not take it: Invalid regex. it is not closed",
            {},
        ),
        ("lm-format-enforcer", Structure(json={}), "not take it: cannot be compiled", {}),
        ("xgrammar", Structure(json="unique, but no JSON"), "xgrammar does not take it: The", {}),
        ("xgrammar", Structure(grammar="root ::= root"), "grammar: nothing matches it", {}),
        ("xgrammar", Structure(regex="[^\\s\\S]"), "regex: nothing matches it", {}),
    ],
)
def test_a_refusal_says_what_is_refused(
    backend: str, structure: Any, said: str, details: dict[str, Any]
) -> None:
    with pytest.raises(InvalidArgument) as caught:
        check(structures_of(backend), structure)
    assert said in str(caught.value)
    parameter = str(caught.value).partition(":")[0]
    assert parameter.startswith("sampling_params.structured_outputs.")
    assert caught.value.details == {"parameter": parameter, **details}


def test_what_is_not_the_structures_fault_is_left_as_it_is() -> None:
    for backend in ("auto", "xgrammar"):
        structure = Structure(
            regex="("
        )  # a back end would refuse it too, but vLLM did not get there
        with pytest.raises(ValueError, match="another parameter is wrong"):
            check(structures_of(backend), structure, wrong=True)
        with pytest.raises(ValueError, match="another parameter is wrong"):
            check(structures_of(backend), Structure(regex="a"), wrong=True)
        assert check(structures_of(backend), Structure(choice=["a"])) is True


async def test_the_first_structure_settles_the_back_end() -> None:
    structures = structures_of("auto")
    first = Structure(choice=["a"])
    check(structures, first)
    await structures.check_backend(first)  # type: ignore[arg-type]
    structures.settle(first)  # type: ignore[arg-type]
    other = Structure(json={"items": {"unique": True}})
    check(structures, other)
    assert other._backend == "guidance"
    with pytest.raises(InvalidArgument) as caught:
        await structures.check_backend(other)  # type: ignore[arg-type]
    assert "xgrammar does not take unique at /items" in str(caught.value)
    assert "this engine compiles all structures with xgrammar" in str(caught.value)


async def test_a_structure_that_the_settled_back_end_knows_is_sent() -> None:
    structures = structures_of("auto")
    for structure in (Structure(json={"unique": True}), Structure(regex="a")):
        check(structures, structure)
        await structures.check_backend(structure)  # type: ignore[arg-type]
        structures.settle(structure)  # type: ignore[arg-type]
    # Only what guidance does not know either is refused.
    with pytest.raises(InvalidArgument, match="guidance does not take patternProperties"):
        await structures.check_backend(
            Structure(json={"patternProperties": {}}, _backend="xgrammar")  # type: ignore[arg-type]
        )


async def test_a_named_back_end_is_not_settled() -> None:
    structures = structures_of("guidance")
    structures.settle(Structure(regex="a", _backend="guidance"))  # type: ignore[arg-type]
    await structures.check_backend(Structure(json={"unique": 1}))  # type: ignore[arg-type]


def test_other_parameters_pass() -> None:
    structures = structures_of("auto")
    params = SimpleNamespace(structured_outputs=None, wrong=True)
    with pytest.raises(ValueError, match="another parameter is wrong"):
        structures.validate(params, ("generate",))
