"""Arguments are checked against annotations, and a refusal says what was wrong with what."""

from __future__ import annotations

import dataclasses
import enum
import fractions as fractions_
import math
from collections.abc import AsyncGenerator, Iterable, Mapping
from typing import Annotated, Any, Literal, NotRequired, TypedDict

import msgspec
import pytest

from python_worker.codec.types import Record
from python_worker.exceptions import InvalidArgument
from python_worker.validation.annotations import checker
from python_worker.validation.messages import describe
from python_worker.validation.signatures import signature_of


class Kind(enum.Enum):
    CUMULATIVE = 0
    DELTA = 1


class Params(msgspec.Struct):
    n: int = 1
    temperature: float = 1.0
    seed: int | None = None
    stop: str | list[str] | None = None
    kind: Kind = Kind.CUMULATIVE
    bias: dict[int, float] | None = None
    _secret: int = 0

    def __post_init__(self) -> None:
        if self.n < 1:
            raise ValueError(f"n must be at least 1, got {self.n}")


@dataclasses.dataclass
class Adapter:
    name: str
    path: str
    rank: Annotated[int, "a note"] = 8


class Text(TypedDict):
    prompt: str
    salt: NotRequired[str]


class Tokens(TypedDict):
    prompt_token_ids: list[int]


Prompt = str | list[int] | Text | Tokens | AsyncGenerator[Text, None]


class Engine:
    def generate(
        self, prompt: Prompt, params: Params, request_id: str, *, priority: int = 0
    ) -> None:
        """As vLLM's."""

    def abort(self, request_id: str | Iterable[str], internal: bool = False) -> None:
        """As vLLM's."""

    def anything(self, *args: Any, **kwargs: Any) -> None:
        """Takes what comes."""


GENERATE = signature_of(Engine().generate, strict=True)


def refusal(annotation: Any, value: object) -> InvalidArgument:
    with pytest.raises(InvalidArgument) as caught:
        checker(annotation)(value, "it")
    return caught.value


ACCEPTED = [
    (bool, True),
    (int, -(2**63)),
    (int, 2**64 - 1),
    (float, 0.5),
    (float, math.inf),
    (str, ""),
    (bytes, b"\x00"),
    (int | None, None),
    (str | list[str] | None, ["a"]),
    (list[int], []),
    (list[list[int]], [[1], []]),
    (set[int], {1}),
    (dict[str, Any], {"a": object}),
    (Mapping[str, str], {"a": "b"}),
    (Literal["abort", "wait"], "wait"),
    (tuple, (1, "a")),
    (tuple[int, str], (1, "a")),
    (tuple[int, ...], (1, 2)),
    (Any, {"x": [1]}),
]


@pytest.mark.parametrize(("annotation", "value"), ACCEPTED, ids=lambda x: repr(x)[:40])
def test_a_fitting_value_passes_unchanged(annotation: Any, value: object) -> None:
    passed = checker(annotation)(value, "it")
    assert passed == value
    assert type(passed) is type(value)


REFUSED = [
    (int, True),
    (int, 2**64),
    (int, -(2**63) - 1),
    (int, 1.0),
    (int, "1"),
    (int, None),
    (bool, 1),
    (bool, "true"),
    (float, "1.0"),
    (float, True),
    (float, math.nan),
    (float, 10**400),
    (str, b"x"),
    (str, 5),
    (bytes, "x"),
    (None, 0),
    (int | None, 1.5),
    (str | list[str] | None, 5),
    (list[int], [1, "2"]),
    (list[int], [1, True]),
    (list[int], "12"),
    (list[int], {1: 2}),
    (dict[int, float], {1: "x"}),
    (dict[int, float], {"1": 1.0}),
    (dict[int, float], [1]),
    (set[int], 5),
    (Literal["abort", "wait"], "bogus"),
    (Literal[0, 1], True),
    (tuple[int, str], (1,)),
    (Kind, 1),
    (Kind, "SOMETIMES"),
    (Params, 5),
    (Params, Record("Adapter", {})),
    (Adapter, {"name": "a"}),
    (AsyncGenerator[Text, None], [1]),
]


@pytest.mark.parametrize(("annotation", "value"), REFUSED, ids=lambda x: repr(x)[:40])
def test_a_wrong_value_is_refused_with_what_it_should_be(annotation: Any, value: object) -> None:
    message = str(refusal(annotation, value))
    assert message.startswith("it")
    assert "wants" in message or "missing" in message


def test_the_refusal_names_the_part_that_is_wrong() -> None:
    error = refusal(dict[str, list[int]], {"a": [1, "x"]})
    assert str(error) == "it['a'][1]: wants int, got str 'x'"
    assert error.details == {"parameter": "it['a'][1]", "wanted": "int", "got": "str 'x'"}


def test_a_long_value_is_cut_in_the_message() -> None:
    assert len(str(refusal(int, "x" * 10_000))) < 150


def test_an_integer_becomes_a_float_only_where_no_integer_is_wanted() -> None:
    assert type(checker(float)(1, "it")) is float
    assert type(checker(int | float)(1, "it")) is int


def test_a_set_or_tuple_serves_where_a_list_is_wanted() -> None:
    assert checker(list[int])((1, 2), "it") == [1, 2]
    assert checker(Iterable[str])({"a"}, "it") == ["a"]


def test_a_text_is_not_an_iterable_of_texts() -> None:
    assert refusal(Iterable[str], "abc")


def test_enums_come_by_name_in_any_case() -> None:
    assert checker(Kind)("delta", "it") is Kind.DELTA
    assert checker(Kind)("CUMULATIVE", "it") is Kind.CUMULATIVE


@pytest.mark.parametrize(
    "made", [lambda f: f, lambda f: Record("Params", f)], ids=["map", "record"]
)
def test_a_map_or_record_becomes_the_class(made: Any) -> None:
    params = checker(Params)(made({"n": 2, "stop": "x", "kind": "delta", "bias": {1: 2}}), "p")
    assert params == Params(n=2, stop="x", kind=Kind.DELTA, bias={1: 2.0})


def test_an_empty_list_is_an_empty_map_where_a_class_is_wanted() -> None:
    assert checker(Params)([], "it") == Params()


def test_an_object_of_the_class_passes_as_it_is() -> None:
    params = Params()
    assert checker(Params | None)(params, "it") is params


def test_an_unknown_field_is_named() -> None:
    assert "Params has no field 'nn'" in str(refusal(Params, {"nn": 1}))


def test_a_private_field_is_not_settable() -> None:
    assert "no field '_secret'" in str(refusal(Params, {"_secret": 1}))


def test_the_classes_own_validation_decides_about_ranges() -> None:
    assert str(refusal(Params, {"n": 0})) == "it: n must be at least 1, got 0"


def test_a_missing_required_field_is_named() -> None:
    assert "path" in str(refusal(Adapter, {"name": "a"}))


def test_of_several_maps_the_one_that_knows_the_field_explains() -> None:
    assert str(refusal(Prompt, {"prompt": 5})) == "it.prompt: wants str, got int 5"
    error = refusal(Prompt, {"prompt_token_ids": [1, "x"]})
    assert str(error) == "it.prompt_token_ids[1]: wants int, got str 'x'"


def test_of_several_structs_the_one_of_its_name_explains() -> None:
    assert str(refusal(Prompt, Record("Tokens", {}))) == "it: Tokens needs prompt_token_ids"


def test_a_type_that_only_type_checkers_import_is_checked_all_the_same() -> None:
    class Embeds(TypedDict):
        embeds: "fractions.Fraction"  # type: ignore[name-defined]  # noqa: F821, UP037

    assert checker(Embeds)({"embeds": fractions_.Fraction(1)}, "it")
    assert str(refusal(Embeds, {"embeds": "x"})) == "it.embeds: wants Fraction, got str 'x'"


def test_a_record_where_anything_goes_becomes_a_map() -> None:
    value = {"a": [Record("Params", {"n": 1})]}
    assert checker(Any)(value, "it") == {"a": [{"n": 1}]}


def test_bind_gives_calling_form() -> None:
    args, kwargs = GENERATE.bind(["hi", {"n": 1}], {"request_id": "r", "priority": 3})
    assert args == ("hi", Params(n=1), "r")
    assert kwargs == {"priority": 3}


@pytest.mark.parametrize(
    ("args", "kwargs", "named"),
    [
        (["hi", {}, "r"], {"priorty": 1}, "priorty"),
        (["hi", {}], {}, "request_id"),
        (["hi", {}, "r", 1], {}, "too many positional"),
        (["hi", {}, "r"], {"prompt": "again"}, "prompt"),
        (["hi", {}, 5], {}, "request_id: wants str, got int 5"),
        (["hi", {}, "r"], {"priority": "1"}, "priority: wants int"),
        (["hi", {"seed": 1.5}, "r"], {}, "params.seed: wants int | None, got float 1.5"),
    ],
)
def test_a_call_that_does_not_fit_is_refused(
    args: list[Any], kwargs: dict[str, Any], named: str
) -> None:
    with pytest.raises(InvalidArgument) as caught:
        GENERATE.bind(args, kwargs)
    assert named in str(caught.value)


def test_a_method_that_takes_anything_gets_anything() -> None:
    args, kwargs = signature_of(Engine().anything, strict=True).bind([1, "a"], {"b": None})
    assert (args, kwargs) == ((1, "a"), {"b": None})


def test_annotations_are_not_enforced_where_they_are_not_ours() -> None:
    args, _ = signature_of(Engine().abort, strict=False).bind([5], {})
    assert args == (5,)


def test_a_method_without_a_signature_takes_what_it_is_given() -> None:
    args, _ = signature_of({}.update, strict=True).bind([{"a": 1}], {})
    assert args == ({"a": 1},)


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        (int | None, "int | None"),
        (str | list[str] | None, "str | list[str] | None"),
        (dict[int, float], "dict[int, float]"),
        (tuple[int, ...], "tuple[int, ...]"),
        (Annotated[int, "x"], "int"),
        (Literal["a", 1] | None, "'a' | 1 | None"),
        (Any, "Any"),
    ],
)
def test_annotations_are_described_as_they_are_written(annotation: Any, text: str) -> None:
    assert describe(annotation) == text


# --- What is made here ---------------------------------------------------------


@dataclasses.dataclass
class Fresh:
    """As vLLM's SamplingParams, which are copied for each request unless they say otherwise."""

    n: int = 1
    skip_clone: bool = False


Fresh.__module__, Fresh.__qualname__ = "vllm.sampling_params", "SamplingParams"


@dataclasses.dataclass
class Older:
    """As those of a vLLM that always copies them."""

    n: int = 1


Older.__module__, Older.__qualname__ = Fresh.__module__, Fresh.__qualname__


@pytest.mark.parametrize("given", [{}, {"n": 2}, {"skip_clone": False}, Record("Fresh", {"n": 2})])
def test_parameters_that_are_made_here_need_no_copy(given: Any) -> None:
    made = checker(Fresh)(given, "params")
    assert made.skip_clone
    assert made.n == (2 if given and given != {"skip_clone": False} else 1)


def test_parameters_that_somebody_holds_are_left_alone() -> None:
    held = Fresh(n=3)
    assert checker(Fresh)(held, "params") is held
    assert not held.skip_clone


def test_parameters_of_an_older_vllm_are_made_as_they_are() -> None:
    assert checker(Older)({"n": 2}, "params") == Older(n=2)


def test_parameters_of_another_class_are_made_as_they_are() -> None:
    assert checker(Params)({"n": 2}, "params").n == 2
    assert not checker(type("SamplingParams", (Fresh,), {}))({}, "params").skip_clone


def test_a_flag_of_the_wrong_type_is_refused_all_the_same() -> None:
    with pytest.raises(InvalidArgument, match="skip_clone"):
        checker(Fresh)({"skip_clone": 1}, "params")
