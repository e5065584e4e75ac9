"""The options of a node."""

from __future__ import annotations

import pytest

from python_worker.node import command_line
from python_worker.node.command_line import NodeSettings, parse
from python_worker.settings import SettingsError


def test_what_is_not_the_nodes_is_the_engines() -> None:
    words = [
        "Qwen/Qwen3-8B",
        "--head",
        "10.0.0.1:13345",
        "--data-parallel-size",
        "2",
        "--start-rank",
    ]
    assert parse([*words, "1", "--dtype=float32"]) == NodeSettings(
        "10.0.0.1",
        13345,
        start_rank=1,
        engine_options=("Qwen/Qwen3-8B", "--data-parallel-size", "2", "--dtype=float32"),
    )


def test_every_option_is_taken() -> None:
    words = (
        *("--head", "head:1", "--start-rank", "3", "--local-size", "2", "--config", "node.toml"),
        *("--lifeline", "stdin", "--log-level", "debug", "--log-format", "json"),
    )
    assert parse(words) == NodeSettings("head", 1, 3, 2, "node.toml", (), True, "DEBUG", "json")


def test_an_abbreviation_is_not_guessed() -> None:
    """It may be an option of the engine."""
    assert parse(["--head", "head:1", "--local", "2"]).engine_options == ("--local", "2")


@pytest.mark.parametrize(("text", "host"), [("[::1]:5", "::1"), ("node-1.local:5", "node-1.local")])
def test_an_address_has_a_host_and_a_port(text: str, host: str) -> None:
    assert command_line.address(text) == (host, 5)


@pytest.mark.parametrize(
    "text", ["", "host", "host:", ":5", "host:port", "host:0", "host:65536", "host:-1", "host:٣"]
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="--head wants HOST:PORT"):
        parse([f"--head={text}"])


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "--head"),
        (["--head", "h:1", "--start-rank", "-1"], "--start-rank"),
        (["--head", "h:1", "--start-rank", "1.5"], "--start-rank"),
        (["--head", "h:1", "--local-size", "0"], "--local-size"),
        (["--head", "h:1", "--lifeline", "tcp"], "--lifeline"),
        (["--head", "h:1", "--log-level", "LOUD"], "--log-level"),
    ],
)
def test_a_wrong_option_is_named(words: list[str], says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        parse(words)


def test_help_says_every_option_and_the_exit_statuses() -> None:
    text = command_line.parser().format_help()
    for name in (
        "--head",
        "--start-rank",
        "--local-size",
        "--config",
        "exit status: 0",
        "examples",
    ):
        assert name in text
