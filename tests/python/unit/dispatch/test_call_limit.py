"""How many calls may run at once."""

from __future__ import annotations

import pytest

from python_worker.dispatch.call_limit import CallLimit
from python_worker.exceptions import Overloaded


def test_there_is_room_for_as_many_calls_as_may_run() -> None:
    limit = CallLimit(2)
    for _ in range(2):
        limit.check()
        limit.enter()
    with pytest.raises(Overloaded, match="carrying out 2 calls, as many as it may") as caught:
        limit.check()
    assert caught.value.details == {"max_calls": 2}
    limit.leave()
    limit.check()
