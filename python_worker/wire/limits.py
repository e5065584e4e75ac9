"""Sizes that both ends of a session agree on, in bytes."""

from __future__ import annotations

from typing import Final

# Enough for a tensor of 64 MB or a prompt of 8,000 tokens with images. A prefix that claims more
# is refused before any memory is taken for it.
MAX_MESSAGE_BYTES: Final = 256 * 1024 * 1024

# A message that is too large ends the whole session, so a larger value is refused before it is
# sent, which fails its call only. The difference is room for the rest of its frame.
MAX_VALUE_BYTES: Final = MAX_MESSAGE_BYTES - 16 * 1024 * 1024

# The ids of a reply's references stand beside its value, 18 bytes each: 9 MB of that room.
MAX_REFERENCES: Final = 500_000
