"""What the Hex package must hold, without building it."""

from __future__ import annotations

from tests import package

TRACKED = [
    *package.FILES,
    "elixir/lib/vllm.ex",
    "elixir/guides/chat.md",
    "proto/vllm_bridge/v1/service.proto",
    "python_worker/__main__.py",
    "tests/package.py",
    "Makefile",
]

PACKED = {*TRACKED, "hex_metadata.config"} - {"tests/package.py", "Makefile"}


def test_a_package_with_what_it_needs_passes() -> None:
    assert package.differences(TRACKED, PACKED) == []
    assert package.differences(TRACKED, {*PACKED, "usage-rules.md"}) == []


def test_what_is_missing_is_named() -> None:
    for name in PACKED - {"hex_metadata.config"}:
        found = package.differences(TRACKED, PACKED - {name})
        assert found == [f"{name} is missing in the package"]


def test_tests_caches_and_what_git_does_not_know_are_named() -> None:
    for name in ("tests/package.py", "Makefile", "python_worker/__pycache__/a.pyc", "vendor/a"):
        found = package.differences(TRACKED, {*PACKED, name})
        assert found == [f"{name} should not be in the package"]


def test_the_working_copy_has_all_that_is_wanted() -> None:
    tracked = package.tracked_files()
    assert set(package.FILES) <= package.expected(tracked)
    for folder in package.FOLDERS:
        assert any(it.startswith(folder) for it in tracked)


def test_requirements_are_read_from_the_metadata() -> None:
    metadata = """{<<"app">>,<<"vllm_bridge">>}.
{<<"requirements">>,
 [[{<<"name">>,<<"cowlib">>},
   {<<"app">>,<<"cowlib">>},
   {<<"optional">>,false},
   {<<"requirement">>,<<"~> 2.12">>},
   {<<"repository">>,<<"hexpm">>}],
  [{<<"name">>,<<"kino">>},
   {<<"app">>,<<"kino">>},
   {<<"optional">>,true},
   {<<"requirement">>,<<"~> 0.14">>},
   {<<"repository">>,<<"hexpm">>}]]}.
{<<"build_tools">>,[<<"mix">>]}.
"""
    assert package.requirements(metadata) == {"cowlib": False, "kino": True}
    assert package.requirements('{<<"app">>,<<"vllm_bridge">>}.\n') == {}
