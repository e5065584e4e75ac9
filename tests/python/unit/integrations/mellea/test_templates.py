"""What of Jinja a client may write."""

from __future__ import annotations

import pytest

from python_worker.exceptions import InvalidArgument
from python_worker.integrations.mellea.templates import filled, refused

VARIABLES = {"name": "Ada", "it": {"age": 36}, "all": ["a", "b"], "none": None}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("no placeholder", "no placeholder"),
        ("Dear {{ name }},", "Dear Ada,"),
        ("{{ it.age }} {{ it['age'] }}", "36 36"),
        ("{{ name | upper }} {{ all | join(', ') }}", "ADA a, b"),
        ("{% if name == 'Ada' and not none %}yes{% else %}no{% endif %}", "yes"),
        ("{{ missing }}.", "."),
        ("{{ missing | default('?') }}", "?"),
    ],
)
def test_placeholders_and_conditions(text: str, expected: str) -> None:
    assert filled(text, VARIABLES, "text") == expected


@pytest.mark.parametrize("text", ["{% for a in all %}{% endfor %}", "{{ 2 ** 9 }}", "{{ name() }}"])
def test_what_could_run_for_ever_is_refused_by_its_name(text: str) -> None:
    with pytest.raises(InvalidArgument, match="is not allowed in a text with variables"):
        filled(text, VARIABLES, "text")


@pytest.mark.parametrize(
    "error", [KeyError("x"), ZeroDivisionError(), RecursionError(), ValueError()]
)
def test_the_failure_of_a_template_is_its_authors(error: Exception) -> None:
    with pytest.raises(InvalidArgument, match="action: the template"), refused("action"):
        raise error
