"""Sizes that both ends of the wire agree on, in bytes."""

from __future__ import annotations

from typing import Final

# A 64 MB tensor or an 8k prompt with images is legal; a claim of 2 GB is not.
MAX_MESSAGE_BYTES: Final = 256 * 1024 * 1024

# gRPC ends the whole session over a message that is too large, so a larger value is refused
# before it is sent. The rest of the message is for what shares its frame.
MAX_VALUE_BYTES: Final = MAX_MESSAGE_BYTES - 16 * 1024 * 1024
