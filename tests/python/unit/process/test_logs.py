"""The log as text, and as one JSON object a line."""

from __future__ import annotations

import importlib.util
import json
import logging.config
import subprocess
import sys
from pathlib import Path

import pytest

from python_worker.process import logs
from python_worker.settings import LogFormat, SettingsError

LOGGING = """
import logging, sys, warnings
from python_worker.process import logs
logs.configure("INFO", sys.argv[1])
logger = logging.getLogger("some.where")
logger.debug("not this")
logger.info("a %s\\nof two lines", "text")
try:
    1 / 0
except ZeroDivisionError:
    logger.exception("failed")
"""


def logged(log_format: LogFormat) -> str:
    command = [sys.executable, "-c", LOGGING, log_format]
    return subprocess.run(command, capture_output=True, text=True, check=True).stderr


def test_json_is_one_object_a_line() -> None:
    first, second = map(json.loads, logged("json").splitlines())
    assert first.keys() == {"timestamp", "level", "logger", "pid", "message"}
    assert (first["level"], first["logger"]) == ("INFO", "some.where")
    assert first["message"] == "a text\nof two lines"
    # The client reads it by patterns: see ``core/worker/json_line.ex``.
    line = logged("json").splitlines()[0]
    assert '"level": "INFO"' in line
    assert '"message": "a text\\nof two lines"' in line
    assert "ZeroDivisionError" in second["exc_info"]


def test_text_is_as_ever() -> None:
    assert logged("text").startswith("INFO some.where: a text\nof two lines\nERROR ")


def test_vllm_gets_a_file_that_it_can_read(tmp_path: Path) -> None:
    environ = {"VLLM_LOGGING_LEVEL": "debug"}
    logs.configure_vllm(tmp_path, environ)
    config = json.loads(Path(environ["VLLM_LOGGING_CONFIG_PATH"]).read_text())
    assert config["loggers"]["vllm"]["level"] == "DEBUG"
    assert config["loggers"]["vllm"]["propagate"] is False, "the worker's log has it otherwise too"
    logging.config.DictConfigurator(config).configure_formatter(config["formatters"]["json"])


def test_what_an_operator_has_said_of_vllms_log_stays(tmp_path: Path) -> None:
    environ = {"VLLM_LOGGING_CONFIG_PATH": "/theirs"}
    logs.configure_vllm(tmp_path, environ)
    assert environ == {"VLLM_LOGGING_CONFIG_PATH": "/theirs"}
    assert list(tmp_path.iterdir()) == []


def test_without_the_library_json_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SettingsError, match="python-json-logger"):
        logs.configure("INFO", "json")
