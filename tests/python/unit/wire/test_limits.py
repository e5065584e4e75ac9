"""The limits of the worker and of the Elixir client fit each other."""

from __future__ import annotations

import math
import re
from pathlib import Path

from python_worker.wire.limits import MAX_MESSAGE_BYTES, MAX_VALUE_BYTES

CLIENT = Path("elixir/lib/vllm/core")


def in_elixir(file: str, name: str) -> int:
    """The value of a module attribute that is a product of numbers."""
    found = re.search(rf"^  @{name} ([\d* ]+)$", (CLIENT / file).read_text(), re.MULTILINE)
    assert found is not None
    return math.prod(map(int, found[1].split("*")))


def test_the_client_accepts_messages_that_the_worker_may_send() -> None:
    assert in_elixir("wire/grpc.ex", "max_message") == MAX_MESSAGE_BYTES


def test_the_largest_value_leaves_room_for_the_rest_of_its_message() -> None:
    # Beside the value, a message holds the small replies of one turn of the event loop.
    assert MAX_MESSAGE_BYTES - MAX_VALUE_BYTES >= 1024 * 1024


def test_the_client_sends_no_arguments_that_the_worker_refuses() -> None:
    largest = in_elixir("call/arguments.ex", "max_argument_bytes")
    assert largest < MAX_MESSAGE_BYTES
