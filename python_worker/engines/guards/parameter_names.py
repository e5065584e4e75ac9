"""Names the parameter in vLLM's error of parameters that do not fit an engine.

Some of vLLM's errors name it as data (``VLLMValidationError.parameter``), others do not.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

from python_worker.engines.plain_values import changed, public_fields
from python_worker.exceptions import BridgeError, Kind
from python_worker.failures import kind_of
from python_worker.validation.messages import shown
from python_worker.validation.refused_fields import refused_fields

# What vLLM has filled in by then, without which the others mean something else.
KEPT = ("task",)


class ParameterNames:
    """Adds the parameter and its value to the errors of vLLM's check.

    Args:
        validate: vLLM's check of a request's parameters for an engine.
    """

    def __init__(self, validate: Callable[[object, object], object]) -> None:
        self._validate = validate

    def validate(self, params: object, supported_tasks: object) -> object:
        """In place of vLLM's check, which may run in a thread."""
        try:
            return self._validate(params, supported_tasks)
        except Exception as error:
            if not isinstance(error, BridgeError) and kind_of(error) is Kind.INVALID:
                self._name_parameter(error, params, supported_tasks)
            raise

    def _name_parameter(self, error: Any, params: Any, supported_tasks: object) -> None:
        if getattr(error, "parameter", None) is not None:
            return
        if not hasattr(params, "__struct_fields__"):
            return
        given = changed(public_fields(params) or {}, params)

        def check(some: Mapping[str, Any]) -> object:
            # A copy: vLLM writes the back end into a structure.
            fields = {name: copy.copy(value) for name, value in some.items()}
            return self._validate(type(params)(**fields), supported_tasks)

        blamed = refused_fields(given, error, check, kept=[it for it in KEPT if it in given])
        if blamed:
            error.parameter, error.value = blamed[0], shown(given[blamed[0]])
        if len(blamed) > 1:
            error.values = {name: shown(given[name]) for name in blamed}
