"""The command line of a node."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, get_args

from python_worker.settings import LogFormat, Settings, SettingsError

LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")

DESCRIPTION = """\
Run cores of an engine whose head is on another host.

The node waits for its head, runs its cores, and waits again when the head has gone. It ends when
it is told to: by SIGTERM or SIGINT, or by the end of its standard input with --lifeline stdin.
"""

EPILOG = """\
Every other option is one of the engine, as `vllm serve` has it, such as --tensor-parallel-size 2.
Give the same as the head has. For data parallelism that includes --data-parallel-size; for tensor
parallelism over several hosts --nnodes, --node-rank and --tensor-parallel-size.

exit status: 0 after it was told to stop; 1 if processes had to be killed then; 2 for options that
cannot be, or an engine that cannot be configured.

examples:
  python -m python_worker.node Qwen/Qwen3-8B --head 10.0.0.1:13345 \\
    --data-parallel-size 2 --start-rank 1
  python -m python_worker.node Qwen/Qwen3-8B --head 10.0.0.1:29501 \\
    --tensor-parallel-size 2 --nnodes 2 --node-rank 1
"""


@dataclass(frozen=True)
class NodeSettings:
    """What a node is told at its start.

    Attributes:
        host: Where the head is.
        port: Its port: of data parallelism, or of torch's store.
        start_rank: The rank of the first core of this node.
        local_size: How many cores it has.
        config: A file of engine arguments; None for none.
        engine_options: The words of the command line that are the engine's.
        lifeline: Whether the end of stdin ends the node.
        log_level: See ``Settings``.
        log_format: See ``Settings``.
    """

    host: str
    port: int
    start_rank: int = 0
    local_size: int = 1
    config: str | None = None
    engine_options: tuple[str, ...] = ()
    lifeline: bool = False
    log_level: str = Settings.log_level
    log_format: LogFormat = Settings.log_format


class Parser(argparse.ArgumentParser):
    """A parser that raises where argparse ends the process."""

    def error(self, message: str) -> NoReturn:
        """Refuse the command line.

        Raises:
            SettingsError: Always.
        """
        raise SettingsError(message)


def parse(argv: Sequence[str]) -> NodeSettings:
    """The settings of a command line.

    Raises:
        SettingsError: It asks for something that cannot be had.
    """
    known, engine_options = parser().parse_known_args(argv)
    host, port = address(known.head)
    return NodeSettings(
        host,
        port,
        known.start_rank,
        known.local_size,
        known.config,
        tuple(engine_options),
        known.lifeline == "stdin",
        known.log_level,
        known.log_format,
    )


def parser() -> Parser:
    """The parser of the node's own options."""
    made = Parser(
        prog="python -m python_worker.node",
        usage="%(prog)s MODEL --head HOST:PORT [options] [options of the engine]",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        # An abbreviation could be an option of the engine.
        allow_abbrev=False,
    )
    for name, options in OPTIONS.items():
        made.add_argument(name, **options)
    return made


def address(text: str) -> tuple[str, int]:
    """The host and port of a text; the host of an IPv6 address stands in brackets.

    Raises:
        SettingsError: It is none.
    """
    host, colon, port = text.rpartition(":")
    if not (colon and host and port.isascii() and port.isdecimal() and 0 < int(port) < 65536):
        raise SettingsError(f"--head wants HOST:PORT, such as 10.0.0.1:13345, got {text!r}")
    return host.removeprefix("[").removesuffix("]"), int(port)


def not_negative(text: str) -> int:
    """An int of 0 or more."""
    return _at_least(0, text)


def positive(text: str) -> int:
    """An int of 1 or more."""
    return _at_least(1, text)


def _at_least(lowest: int, text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text) >= lowest):
        raise argparse.ArgumentTypeError(f"wants an int of {lowest} or more, got {text!r}")
    return int(text)


OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "--head": {
        "required": True,
        "metavar": "HOST:PORT",
        "help": "where the head is: its data_parallel_address and data_parallel_rpc_port; with "
        "--nnodes its master_addr and master_port",
    },
    "--start-rank": {
        "type": not_negative,
        "default": NodeSettings.start_rank,
        "metavar": "RANK",
        "help": "with data parallelism, the rank of the first core here; the cores of the head "
        "come first (default: %(default)s, for a head without cores)",
    },
    "--local-size": {
        "type": positive,
        "default": NodeSettings.local_size,
        "metavar": "COUNT",
        "help": "with data parallelism, how many cores run here (default: %(default)s)",
    },
    "--config": {
        "metavar": "FILE",
        "help": "a TOML, YAML or JSON file of engine arguments, by the names that "
        "from_engine_args has; options of the command line go before it. Default: none",
    },
    "--lifeline": {
        "choices": ["stdin", "none"],
        "default": "none",
        "help": "`stdin` ends the node when its standard input ends (default: %(default)s)",
    },
    "--log-level": {
        "type": str.upper,
        "choices": LOG_LEVELS,
        "default": NodeSettings.log_level,
        "metavar": "LEVEL",
        "help": f"the least level of the node's own log, on stderr: {', '.join(LOG_LEVELS)} "
        "(default: %(default)s)",
    },
    "--log-format": {
        "choices": get_args(LogFormat),
        "default": NodeSettings.log_format,
        "help": "`json` writes one JSON object a line, of vLLM's logs too (default: %(default)s)",
    },
}
"""The node's own options."""
