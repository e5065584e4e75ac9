"""What comes of a run of tests against a changed source."""

from __future__ import annotations

from typing import NamedTuple


class Outcome(NamedTuple):
    """What came of a run.

    Attributes:
        kind: ``passed``; ``killed``: a test failed; ``hang``: a test or the run took too long;
            ``invalid``: the source does not compile; ``fault``: the tests could not be run.
        test: The first test that failed, or why they could not be run.
    """

    kind: str
    test: str
