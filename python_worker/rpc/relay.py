"""Between a client that wants no session and gRPC's server: bytes, both ways."""

from __future__ import annotations

import asyncio
import logging
from typing import cast

logger = logging.getLogger(__name__)


class Relay(asyncio.Protocol):
    """One end of a way for bytes: what comes here is written at the other end.

    Neither end is read while the other does not take what it was given.

    Args:
        other: The other end, where it is there first.

    Attributes:
        gone: Done when who is at this end has closed, as it does when it has read all.
    """

    def __init__(self, other: Relay | None = None) -> None:
        self.transport: asyncio.Transport
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._other = other
        self._ended = False
        self._reaching: asyncio.Task[None]

    def reach(self, path: str, said: bytes) -> None:
        """Connect with a Unix socket, and go on with what was said to us before."""
        self.transport.pause_reading()
        self._reaching = asyncio.ensure_future(self._reach(path, said))

    async def _reach(self, path: str, said: bytes) -> None:
        loop = asyncio.get_running_loop()
        try:
            # gRPC speaks first, and may have before this returns.
            _, other = await loop.create_unix_connection(lambda: type(self)(self), path)
        except OSError as error:
            # gRPC is being started anew (see ``server``), and clients try again.
            logger.warning("gRPC cannot be reached: %s", error)
            self.transport.abort()
            return
        self._other = other
        if self.transport.is_closing():
            other.transport.close()
            return
        self.transport.resume_reading()
        # Behind it: it may be more than the other end takes at once, and pauses us again then.
        other.transport.write(said)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the end."""
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Write it at the other end."""
        assert self._other is not None, "nothing is read before there is another end"
        self._other.transport.write(data)

    def pause_writing(self) -> None:
        """Read no more at the other end."""
        if self._other is not None and not self._other.transport.is_closing():
            self._other.transport.pause_reading()

    def resume_writing(self) -> None:
        """Read again at the other end."""
        if self._other is not None and not self._other.transport.is_closing():
            self._other.transport.resume_reading()

    def eof_received(self) -> bool:
        """Pass on that no more will come; the way back stays open until that ends too."""
        self._ended = True
        other = self._other
        if other is not None and not other._ended and not other.transport.is_closing():
            other.transport.write_eof()
            return True
        return False

    def connection_lost(self, error: Exception | None) -> None:
        """Close the other end, behind what was written there."""
        if self._other is not None:
            self._other.transport.close()
            self._other = None
        self.gone.set_result(None)
