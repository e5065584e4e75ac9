"""Mellea's formatter, which parses a template once and not for each component."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

from mellea.formatters import TemplateFormatter


class CachingFormatter(TemplateFormatter):
    """As mellea's.

    Before it renders a component, mellea parses the source of the template again, to warn of
    arguments that it does not use. That takes most of the time in which a long chat is rendered.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._expected: WeakKeyDictionary[Any, set[str]] = WeakKeyDictionary()

    def _get_expected_variables(self, template: Any, representation: Any) -> set[str]:
        expected = self._expected.get(template)
        if expected is None:
            expected = super()._get_expected_variables(template, representation)
            self._expected[template] = expected
        return expected
