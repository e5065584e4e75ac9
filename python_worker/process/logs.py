"""Sets up the log of the worker, and that of vLLM beside it where JSON is asked for.

With ``--log-format json`` each line on stderr is one JSON object, of vLLM's processes too: vLLM
reads the set-up of its logger from a file that a variable names. What libraries print without
Python's ``logging`` stays as it is.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import logging.config
import os
import sys
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

from python_worker.settings import LogFormat, SettingsError

TEXT = "%(levelname)s %(name)s: %(message)s"

# What vLLM reads the set-up of its logger from, in each of its processes.
VLLM_VARIABLE = "VLLM_LOGGING_CONFIG_PATH"

VLLM_FILE = "vllm_logging.json"

# ``core/worker/json_line.ex`` reads these lines on the side of Elixir.
FIELDS = "%(levelname)s %(name)s %(process)d %(message)s"

# vLLM gives every record the name of its process, such as EngineCore_DP0.
VLLM_FIELDS = f"{FIELDS} %(vllm_process_name)s"

NAMES = {
    "levelname": "level",
    "name": "logger",
    "process": "pid",
    "vllm_process_name": "process",
}


def configure(level: str, log_format: LogFormat) -> None:
    """Sets up the worker's own log.

    Raises:
        SettingsError: The library for JSON is not there.
    """
    if log_format == "text":
        logging.basicConfig(level=level, format=TEXT, stream=sys.stderr)
        return
    if importlib.util.find_spec("pythonjsonlogger") is None:
        raise SettingsError(
            "--log-format json: python-json-logger is not there, which comes with vLLM"
        )
    logging.config.dictConfig(json_config("", level, FIELDS))
    logging.captureWarnings(True)


def configure_vllm(folder: Path, environ: MutableMapping[str, str] = os.environ) -> None:
    """Has vLLM's processes write JSON, unless the environment says how they log.

    Args:
        folder: Where the file for vLLM is made.
        environ: The environment of vLLM's processes.
    """
    if VLLM_VARIABLE in environ:
        return
    path = folder / VLLM_FILE
    level = environ.get("VLLM_LOGGING_LEVEL", "INFO").upper()
    config = json_config("vllm", level, VLLM_FIELDS)
    path.write_text(json.dumps(config), encoding="utf-8")
    environ[VLLM_VARIABLE] = str(path)


def json_config(name: str, level: str, fields: str) -> dict[str, Any]:
    """The set-up of one logger that writes JSON to stderr, for ``logging.config.dictConfig``."""
    formatter = {
        "()": "pythonjsonlogger.json.JsonFormatter",
        "fmt": fields,
        "rename_fields": {name: NAMES[name] for name in NAMES if f"%({name})" in fields},
        "timestamp": True,
    }
    logger = {"handlers": ["stderr"], "level": level, "propagate": False}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": formatter},
        "handlers": {
            "stderr": {
                "class": "logging.StreamHandler",
                "formatter": "json",
                "stream": "ext://sys.stderr",
            }
        },
        "loggers": {name: logger},
    }
