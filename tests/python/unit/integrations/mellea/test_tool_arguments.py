"""What mellea makes of arguments, as a client calls it. The cases are in ``test_tools``."""

from __future__ import annotations

from typing import Any

import pytest

from python_worker.exceptions import InvalidArgument
from python_worker.integrations.mellea.tool_arguments import Tools


@pytest.mark.parametrize("odd", [{}, {"name": 5}, {"name": "f", "parameters": 5}, {"x": 1}])
async def test_what_is_no_tool_is_refused(odd: Any) -> None:
    with pytest.raises(InvalidArgument, match="tools"):
        await Tools().validate_tool_arguments(odd, {})
