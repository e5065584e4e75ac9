"""What a fake engine does with a request, as the test wrote it down.

A behaviour is plain data, so that it can be sent over the bridge. It is looked for in
``sampling_params.extra_args["fake"]``, then in what ``script(..., prompt=...)`` set for the
prompt, then in what ``script(...)`` set for all.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from python_worker.testing.fake_errors import ErrorSpec

PLACES = ("admission", "adding")


@dataclass(frozen=True)
class Behaviour:
    """How the engine treats one request.

    Attributes:
        tokens: How many tokens to make before stopping by itself, within ``max_tokens``.
        say: The text of each token, in place of the default; ends by itself as well.
        delay: Seconds between tokens. Requests of equal delay step together, as in the batch of a
            real engine. 0 makes a token at each turn of the event loop.
        paced: Make a token only when the one before it was taken, so that there is one item for
            each. Otherwise the engine runs on and items are merged, as in vLLM.
        refuse: Raised before the engine takes the request.
        fail: Raised once ``after`` tokens are made.
        hang: Stop for ever once ``after`` tokens are made.
        die: The whole engine dies once ``after`` tokens are made.
        after: See ``fail``, ``hang``, ``die``.
        hang_in: Wait for ever in "admission", before the engine knows the request, or in
            "adding", while it is on its way to EngineCore.
    """

    tokens: int | None = None
    say: tuple[str, ...] | None = None
    delay: float = 0.0
    paced: bool = False
    refuse: ErrorSpec | None = None
    fail: ErrorSpec | None = None
    hang: bool = False
    die: bool = False
    after: int = 0
    hang_in: str | None = None

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Behaviour:
        """Makes a behaviour of plain data.

        Raises:
            ValueError: A key or a place is unknown.
        """
        known = {field.name for field in dataclasses.fields(cls)}
        if unknown := sorted(values.keys() - known):
            raise ValueError(
                f"a behaviour has no {unknown[0]!r}, it has {', '.join(sorted(known))}"
            )
        if values.get("hang_in") not in (None, *PLACES):
            raise ValueError(f"hang_in is one of {PLACES}, got {values['hang_in']!r}")
        if values.get("say") is not None:
            values = {**values, "say": tuple(values["say"])}
        return cls(**values)


@dataclass(frozen=True)
class Injection:
    """What happens at the start of a method, in place of or before its work.

    Attributes:
        error: Raised.
        delay: Seconds to wait first (coroutines only).
        hang: Wait for ever (coroutines only).
        times: How many calls it applies to; None for all.
    """

    error: ErrorSpec | None = None
    delay: float = 0.0
    hang: bool = False
    times: int | None = None
