"""What a fake engine does with a request, as the test wrote it down.

A behaviour is plain data, so that it can be sent over the bridge. It is looked for in
``sampling_params.extra_args["fake"]``, then in the engine's ``Script``.
"""

from __future__ import annotations

import dataclasses
import re
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from python_worker.testing.fake_engine import pieces
from python_worker.testing.fake_engine.pieces import Piece
from python_worker.testing.fake_vllm.errors import ErrorSpec

PLACES = ("admission", "adding")


@dataclass(frozen=True)
class Behaviour:
    """How the engine treats one request.

    Attributes:
        tokens: How many tokens to make before stopping by itself, within ``max_tokens``.
        say: Each token, in place of the default, as text or with what a chat takes it for; ends by
            itself as well. In plain data the latter come of ``reasoning``, ``tool_calls`` and
            ``json``.
        delay: Seconds between tokens. Requests of equal delay step together, as in the batch of a
            real engine. 0 makes a token at each turn of the event loop.
        paced: Make a token only when the one before it was taken, so that there is one item for
            each. Otherwise the engine runs on and items are merged, as in vLLM.
        refuse: Raised before the engine takes the request.
        fail: Raised once ``after`` tokens are made.
        hang: Stop for ever once ``after`` tokens are made.
        die: The whole engine dies once ``after`` tokens are made.
        hold: Stop once ``after`` tokens are made, until ``release``.
        after: See ``fail``, ``hang``, ``die``, ``hold``. That many tokens are given before it
            happens, be they all there are. In plain data None stands for all of ``say``.
        finish_reason: In place of "stop" and "length".
        stop_reason: Of a completion that ended by itself.
        logprobs: That of each token, in place of the default.
        embedding: What ``encode`` gives: the numbers, in lists as deep as the array's shape.
        hang_in: Wait for ever in "admission", before the engine knows the request, or in
            "adding", while it is on its way to EngineCore.
    """

    tokens: int | None = None
    say: tuple[str | Piece, ...] | None = None
    delay: float = 0.0
    paced: bool = False
    refuse: ErrorSpec | None = None
    fail: ErrorSpec | None = None
    hang: bool = False
    die: bool = False
    hold: bool = False
    after: int = 0
    hang_in: str | None = None
    finish_reason: str | None = None
    stop_reason: int | str | None = None
    logprobs: tuple[float, ...] | None = None
    embedding: Sequence[Any] | None = None

    @property
    def interrupts(self) -> bool:
        """Whether something happens once ``after`` tokens are made."""
        return bool(self.fail) or self.hang or self.die or self.hold

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Behaviour:
        """Makes a behaviour of plain data.

        Raises:
            ValueError: A key or a place is unknown.
        """
        known = {field.name for field in dataclasses.fields(cls)} | pieces.KEYS
        if unknown := sorted(values.keys() - known):
            raise ValueError(
                f"a behaviour has no {unknown[0]!r}, it has {', '.join(sorted(known))}"
            )
        if values.get("hang_in") not in (None, *PLACES):
            raise ValueError(f"hang_in is one of {PLACES}, got {values['hang_in']!r}")
        own = {name: value for name, value in values.items() if name not in pieces.KEYS}
        say = own["say"] = pieces.said(values)
        if own.get("logprobs") is not None:
            own["logprobs"] = tuple(own["logprobs"])
        if own.get("after", 0) is None:
            own["after"] = len(say or ())
        return cls(**own)


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


@dataclass
class Rule:
    """What is done with the requests that one part of a script is for.

    Attributes:
        pattern: Searched for in the prompt's text, where the rule is found that way.
        always: For all of them, once ``first`` is used up; None leaves them to the next rule.
        first: For so many of them, in order: pairs of a behaviour and how often it still counts.
    """

    pattern: re.Pattern[str] | None = None
    always: Behaviour | None = None
    first: deque[tuple[Behaviour, int]] = field(default_factory=deque)

    @property
    def next(self) -> Behaviour | None:
        """What is done with the next request."""
        return self.first[0][0] if self.first else self.always

    def take(self) -> Behaviour | None:
        """Returns what is done with the next request, and counts it."""
        if not self.first:
            return self.always
        behaviour, times = self.first.popleft()
        if times > 1:
            self.first.appendleft((behaviour, times - 1))
        return behaviour


class Script:
    """Which request is treated how.

    A request is looked up by its prompt, then by the patterns in the order in which they came,
    and gets what is set for all otherwise.
    """

    def __init__(self) -> None:
        self._rules: dict[str | tuple[int, ...] | None, Rule] = {}
        self._patterns: dict[str, Rule] = {}

    def set(
        self,
        behaviour: Behaviour,
        *,
        prompt: str | Sequence[int] | None = None,
        pattern: str | None = None,
        times: int | None = None,
    ) -> None:
        """Sets how requests are treated.

        Args:
            behaviour: How.
            prompt: Those with this text or these token ids; None, without a pattern, for all.
            pattern: Those in whose text this regular expression finds something.
            times: The next so many that nothing set before with ``times`` is for; None for all.

        Raises:
            ValueError: Of what is wanted there is no meaning.
        """
        if prompt is not None and pattern is not None:
            raise ValueError("a prompt or a pattern, not both")
        if times is not None and times < 1:
            raise ValueError(f"times is at least 1, got {times}")
        if pattern is not None:
            rule = self._patterns.setdefault(pattern, Rule(pattern=re.compile(pattern)))
        else:
            key = prompt if prompt is None or isinstance(prompt, str) else tuple(prompt)
            rule = self._rules.setdefault(key, Rule())
        if times is None:
            rule.always = behaviour
        else:
            rule.first.append((behaviour, times))

    def find(self, text: str | None, token_ids: Sequence[int]) -> Behaviour:
        """Returns how a request is treated, and counts it."""
        for rule in self._candidates(text, token_ids):
            if behaviour := rule.take():
                return behaviour
        return Behaviour()

    def peek(self, text: str | None, token_ids: Sequence[int]) -> Behaviour:
        """Returns how a request would be treated."""
        rules = self._candidates(text, token_ids)
        return next((rule.next for rule in rules if rule.next is not None), Behaviour())

    def _candidates(self, text: str | None, token_ids: Sequence[int]) -> list[Rule]:
        keys = (text or "", tuple(token_ids))
        exact = [self._rules[key] for key in keys if key in self._rules]
        patterns = [
            rule
            for rule in self._patterns.values()
            if text is not None and rule.pattern is not None and rule.pattern.search(text)
        ]
        return [*exact, *patterns, *([self._rules[None]] if None in self._rules else [])]
