"""The HTTP client of providers whose model is behind a server; what its errors mean.

There are no retries and no deadlines here: a call has its own deadline, and its caller is told
whether to try again. A request whose call ends is given up, and its connection closed, by which the
server knows that nobody waits for the text any more.
"""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any, Final
from urllib.parse import urlsplit

from python_worker.exceptions import HttpStatus, InvalidArgument, Unreachable
from python_worker.integrations import extras
from python_worker.process import large_work

CONNECT_SECONDS: Final = 10.0
"""How long a server may take to accept a connection, for which it does not need its model."""

MAX_ANSWER_BYTES: Final = 64 * 1024 * 1024
"""More than any text; a server could send without an end."""

MAX_QUOTED: Final = 2000
"""How many characters of a server's answer a message has."""


def server_url(base_url: str) -> str:
    """A base URL without a slash at its end.

    Raises:
        InvalidArgument: It is no URL of HTTP.
    """
    try:
        parts = urlsplit(base_url)
        fits = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, or half an IPv6 address
        fits = False
    if not fits or any(ord(char) <= ord(" ") for char in base_url):
        raise InvalidArgument(
            f"base_url: wants a URL such as 'http://localhost:8100/v1', got {quoted(base_url)!r}",
            parameter="base_url",
        )
    return base_url.rstrip("/")


class HttpClient:
    """Sends requests to one server.

    Args:
        base_url: The URL before the paths of the requests, from ``server_url``.
        api_key: Sent with each request.
    """

    def __init__(self, base_url: str, api_key: str) -> None:
        self._base_url = base_url
        self._api_key = api_key
        self._making = asyncio.Lock()
        self._client: Any = None

    @property
    def place(self) -> str:
        """The URL for messages: without a name and a password."""
        parts = urlsplit(self._base_url)
        return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()

    async def post_json(self, path: str, body: Mapping[str, object]) -> dict[str, Any]:
        """Sends a request and returns the JSON object that is the answer.

        Raises:
            HttpStatus: The server refused it, or its answer is none.
            Unreachable: The server does not answer.
        """
        text = await self.post(path, body)
        answer = await large_work.run_if_large(len(text), functools.partial(parsed, text))
        if not isinstance(answer, dict):
            raise self.odd_answer("the answer is no JSON object")
        return answer

    async def post(self, path: str, body: Mapping[str, object]) -> bytes:
        """Sends a request and returns the answer.

        Raises:
            HttpStatus: The server refused it, or its answer is too large.
            Unreachable: The server does not answer.
        """
        client, httpx = await self._ready(), _library()
        size = sum(len(value) for value in _texts(body))
        content = await large_work.run_if_large(size, functools.partial(encoded, body))
        try:
            async with client.stream("POST", self._base_url + path, content=content) as response:
                answer = await self._read(response)
        except httpx.InvalidURL as error:
            raise InvalidArgument(f"base_url: {error}", parameter="base_url") from None
        except httpx.RequestError as error:
            raise Unreachable(
                f"{self.place} cannot be reached ({type(error).__name__}: {error}); start the "
                "server, or check the URL",
                url=self.place,
            ) from None
        if not response.is_success:
            words = await large_work.run_if_large(len(answer), functools.partial(said, answer))
            raise HttpStatus(
                f"{self.place} answered {path} with {response.status_code}: {words}",
                status=response.status_code,
                url=self.place,
            )
        return answer

    async def _read(self, response: Any) -> bytes:
        parts, size = [], 0
        # As it comes: what is compressed could become of any size.
        async for chunk in response.aiter_raw():
            size += len(chunk)
            if size > MAX_ANSWER_BYTES:
                raise self.odd_answer(f"the answer has more than {MAX_ANSWER_BYTES} bytes")
            parts.append(chunk)
        return b"".join(parts)

    def odd_answer(self, what: str) -> HttpStatus:
        """The error of an answer that says it is good, and is none."""
        return HttpStatus(f"{self.place}: {what}", status=200, url=self.place)

    async def close(self) -> None:
        """Ends the connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def _ready(self) -> Any:
        async with self._making:
            if self._client is None:
                # Reads the certificates of the system.
                self._client = await asyncio.to_thread(self._make)
            return self._client

    def _make(self) -> Any:
        httpx = _library()
        return httpx.AsyncClient(
            headers={
                "Authorization": f"Bearer {self._api_key}",
                "Accept-Encoding": "identity",
                "Content-Type": "application/json",
            },
            timeout=httpx.Timeout(None, connect=CONNECT_SECONDS),
            # The worker limits the number of calls.
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=20),
        )


def _library() -> ModuleType:
    return extras.load("providers", "httpx")


def encoded(body: Mapping[str, object]) -> bytes:
    """A request as JSON."""
    text = json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode()


def _texts(value: object) -> Iterator[str]:
    """The strings in a request, of which some may be large."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from _texts(list(value.values()))
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


def parsed(answer: bytes) -> object:
    """The value of JSON; None where it is none."""
    try:
        return json.loads(answer)
    except (ValueError, RecursionError):
        return None


def said(answer: bytes) -> str:
    """What a server says in an answer with an error status."""
    found = parsed(answer)
    for key in ("error", "message", "detail"):
        if isinstance(found, dict) and key in found:
            found = found[key]
    if isinstance(found, str) and found:
        return quoted(found)
    return quoted(answer.decode(errors="replace")) or "it says no more"


def quoted(text: str) -> str:
    """The beginning of a text of somebody else."""
    return text if len(text) <= MAX_QUOTED else f"{text[:MAX_QUOTED]} …"
