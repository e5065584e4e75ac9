"""The entry: ``python -m python_worker.node MODEL --head HOST:PORT``."""

from __future__ import annotations

import importlib.util
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

from python_worker.engines.builder import ENVIRONMENT
from python_worker.node import command_line, engine_options, head
from python_worker.node.command_line import NodeSettings
from python_worker.node.cores import Part, part_of
from python_worker.node.rounds import Rounds
from python_worker.process import init_process, lifeline, logs, run_folder
from python_worker.process.head_link import NODE_VARIABLE
from python_worker.settings import SettingsError

logger = logging.getLogger(__name__)

# How long everything may take to end. What is left then is killed.
END_SECONDS = 20.0


class Stopped(BaseException):
    """The node was told to stop."""


def main() -> NoReturn:
    """Run the node. The exit statuses are those that ``--help`` has."""
    init_process.leave_process_1()
    try:
        settings = command_line.parse(sys.argv[1:])
        os.umask(0o077)
        lifeline.lead_process_group()
        logs.configure(settings.log_level, settings.log_format)
        folders = run_folder.create()
    except SettingsError as error:
        refuse(error)
    if settings.log_format == "json":
        logs.configure_vllm(folders[0])
    status = 0
    stop_on_signals(folders)
    if settings.lifeline:
        threading.Thread(target=wait_for_stdin, name="lifeline", daemon=True).start()
    try:
        serve(settings)
    except Stopped:
        logger.info("stopping")
    except Refused as error:
        print(f"python_worker.node: {error}", file=sys.stderr)
        status = 2
    if lifeline.group_members():
        lifeline.kill_group()
        status = status or 1
    run_folder.remove(*folders)
    leave(status)


class Refused(Exception):
    """The options or the configuration cannot be."""


def serve(settings: NodeSettings) -> NoReturn:
    """Run one head's cores after the other's.

    Raises:
        Refused: The engine cannot be configured.
        Stopped: The node was told to stop.
    """
    os.environ |= {name: os.environ.get(name, value) for name, value in ENVIRONMENT.items()}
    # Read by the processes that vLLM starts.
    os.environ[NODE_VARIABLE] = "1"

    def make() -> Part:
        return part_of(engine_options.engine_args(settings, fields))

    try:
        from_file = (
            {} if settings.config is None else engine_options.read_file(Path(settings.config))
        )
        fields = from_file | engine_options.parse_words(settings.engine_options)
        make()
    except Exception as error:
        raise Refused(f"the engine cannot be configured: {error}") from error
    Rounds(make, head.wait_for, time.sleep).run()
    raise AssertionError("rounds do not end")


def stop_on_signals(folders: Sequence[Path]) -> None:
    """Have SIGTERM and SIGINT raise ``Stopped`` in the main thread, once.

    Args:
        folders: What is removed where the process has to be ended by force.
    """
    numbers = (signal.SIGTERM, signal.SIGINT)

    def stop(_number: int, _frame: FrameType | None) -> None:
        for each in numbers:
            signal.signal(each, signal.SIG_IGN)
        lifeline.force_end_after(END_SECONDS, lambda: run_folder.remove(*folders))
        raise Stopped

    for number in numbers:
        signal.signal(number, stop)


def wait_for_stdin() -> None:
    """Stop the node when stdin ends."""
    while os.read(lifeline.STDIN, 4096):
        continue
    os.kill(os.getpid(), signal.SIGTERM)


def refuse(error: Exception) -> NoReturn:
    """End because of options that cannot be."""
    print(f"python_worker.node: {error}; see --help", file=sys.stderr)
    leave(2)


def leave(status: int) -> NoReturn:
    """End this process at once: vLLM's destructors have nothing left to do."""
    logging.shutdown()
    os._exit(status)


if __name__ == "__main__":
    # See ``python_worker.__main__``.
    sys.modules["__main__"].__spec__ = importlib.util.find_spec("python_worker.process.child")
    main()
