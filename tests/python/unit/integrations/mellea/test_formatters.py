"""Templates of components. Upstream: test_template_formatter.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from python_worker.exceptions import InvalidArgument
from python_worker.integrations.mellea.formatters import Formatter


def component(name: str, **fields: Any) -> dict[str, Any]:
    return {"type": "component", "name": name, **fields}


def template(folder: Path, path: str, text: str) -> None:
    file = folder / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


# Upstream: ::test_cblock_print (U-78)
@pytest.mark.parametrize(("value", "text"), [("a text", "a text"), (None, ""), ("", "")])
async def test_a_text_is_printed_as_it_is(value: Any, text: str) -> None:
    assert await (await Formatter.new("m")).print(value) == text


# Upstream: ::test_user_path (U-79)
async def test_templates_of_a_folder_come_first_and_the_deepest_that_fits_wins(
    tmp_path: Path,
) -> None:
    template(tmp_path, "prompts/default/Greeting.jinja2", "default {{ who }}")
    template(tmp_path, "prompts/some-model/Greeting.jinja2", "own {{ who }}")
    greeting = component("Greeting", args={"who": "you"})
    for model, text in (("x/Some.Model-7b", "own you"), ("other", "default you")):
        formatter = await Formatter.new(model, str(tmp_path))
        assert await formatter.print(greeting) == text


# Upstream: ::test_no_template (U-80)
async def test_a_component_without_a_template_is_refused() -> None:
    with pytest.raises(InvalidArgument, match=r"could not find template .* the component Nowhere"):
        await (await Formatter.new("m")).print(component("Nowhere"))


# Upstream: ::test_custom_template_order (U-81)
async def test_the_names_of_templates_are_tried_in_their_order(tmp_path: Path) -> None:
    template(tmp_path, "prompts/default/Second.jinja2", "second")
    formatter = await Formatter.new("m", str(tmp_path))
    order = component("First", template_order=["*", "Second"])
    assert await formatter.print(order) == "second"


async def test_components_in_components_are_printed_within() -> None:
    inner = component("Inner", args={"x": "1"}, template="<{{ x }}>")
    outer = component("Outer", args={"parts": [inner, "b"]}, template="{{ parts | join(' ') }}")
    assert await (await Formatter.new("m")).print(outer) == "<1> b"


# Upstream: ::test_to_chat_messages_not_parsed_repr (U-82)
async def test_components_are_messages_of_the_user() -> None:
    formatter = await Formatter.new("m")
    message = {"type": "message", "role": "assistant", "content": "b"}
    assert await formatter.to_chat_messages(["a", message]) == [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b"},
    ]


@pytest.mark.parametrize(
    "text", ["{{ x.y.z }}", "{{ ''.__class__.__mro__ }}", "{% for %}", "{{ missing }}"]
)
async def test_a_template_that_fails_is_the_callers_mistake(text: str) -> None:
    with pytest.raises(InvalidArgument, match="the template"):
        await (await Formatter.new("m")).print(component("Own", template=text))
