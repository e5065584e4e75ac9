"""Requests to a server, and what its errors mean."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from python_worker.exceptions import HttpStatus, InvalidArgument, Unreachable
from python_worker.integrations.inference import http_client
from python_worker.integrations.inference.http_client import HttpClient, server_url
from tests.python.support.recorder import Answer, Recorder


@pytest.fixture
async def client(recorder: Recorder) -> AsyncIterator[HttpClient]:
    client = HttpClient(server_url(recorder.url), "a key")
    yield client
    await client.close()


@pytest.mark.parametrize(
    "url",
    [
        *("", "localhost:8100", "ftp://x/v1", "http://", "http:///v1", "file:///etc/passwd"),
        *("http://x:port/v1", "http://x:99999/v1", "http://[::1/v1", "http://x/a b", "http://x/\n"),
        *("http://x\u0000/v1", "http://x:0/v1"),
    ],
)
def test_what_is_no_url_of_a_server_is_refused(url: str) -> None:
    with pytest.raises(InvalidArgument, match="base_url"):
        server_url(url)


# Upstream: the trailing slash of a base URL (P-08)
def test_a_slash_at_the_end_of_a_url_is_left_out() -> None:
    assert server_url("http://localhost:1/v1/") == "http://localhost:1/v1"


def test_the_url_of_messages_has_no_password() -> None:
    assert HttpClient("http://me:secret@host:1/v1", "k").place == "http://host:1/v1"


async def test_a_request_is_json_with_the_key(client: HttpClient, recorder: Recorder) -> None:
    recorder.answer = Answer(body={"a": 1})
    assert await client.post_json("/path", {"x": [1.5, None, "ü"]}) == {"a": 1}
    assert recorder.last.path == "/v1/path"
    assert recorder.last.headers["authorization"] == "Bearer a key"
    assert recorder.last.body == {"x": [1.5, None, "ü"]}


async def test_a_large_request_and_a_large_answer_are_whole(
    client: HttpClient, recorder: Recorder
) -> None:
    text = "\u00fc" * 3_000_000
    recorder.answer = Answer(body={"text": text})
    assert await client.post_json("/path", {"messages": [{"content": text}]}) == {"text": text}
    assert recorder.last.body == {"messages": [{"content": text}]}
    assert recorder.last.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"error": {"message": "no such model", "code": 404}}, "no such model"),
        ({"message": "no such model"}, "no such model"),
        ({"detail": "Not Found"}, "Not Found"),
        ({"error": "model 'x' not found"}, "model 'x' not found"),
        (b"<html>not here</html>", "<html>not here</html>"),
        (b"", "it says no more"),
        (b"\xff\xfe", "\ufffd\ufffd"),
        ([1], "[1]"),
        (b"[" * 100_000, "[[[["),
    ],
)
@pytest.mark.parametrize("status", [400, 404, 429, 500, 503, 302])
async def test_an_error_status_is_an_error_with_the_status_and_the_servers_words(
    client: HttpClient, recorder: Recorder, status: int, body: object, message: str
) -> None:
    recorder.answer = Answer(status, body, {"Location": "http://127.0.0.1:1/"})
    with pytest.raises(HttpStatus) as caught:
        await client.post("/path", {})
    assert caught.value.details["status"] == status
    assert f"answered /path with {status}: {message}" in str(caught.value)
    assert len(str(caught.value)) < http_client.MAX_QUOTED + 200


@pytest.mark.parametrize("body", [b"", b"no JSON", [1], b'"text"', b"[" * 100_000, b"\xff"])
async def test_an_answer_that_is_no_object_is_an_error(
    client: HttpClient, recorder: Recorder, body: object
) -> None:
    recorder.answer = Answer(body=body)
    with pytest.raises(HttpStatus, match="no JSON object"):
        await client.post_json("/path", {})


async def test_an_answer_without_an_end_is_given_up(
    client: HttpClient, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_client, "MAX_ANSWER_BYTES", 1000)
    recorder.answer = Answer(body=b"x" * 1001)
    with pytest.raises(HttpStatus, match="more than 1000 bytes"):
        await client.post("/path", {})


async def test_a_port_where_nobody_listens_is_unreachable() -> None:
    async with Recorder().running() as recorder:
        url = recorder.url
    client = HttpClient(url, "k")
    with pytest.raises(Unreachable, match="cannot be reached"):
        await client.post("/path", {})
    await client.close()


@pytest.mark.parametrize("answer", [Answer(body=b"half", cut=True), Answer(0, b"")])
async def test_a_server_that_ends_in_the_middle_is_unreachable(
    client: HttpClient, recorder: Recorder, answer: Answer
) -> None:
    recorder.answer = answer
    with pytest.raises(Unreachable):
        await client.post("/path", {})


async def test_a_cancelled_request_closes_its_connection(
    client: HttpClient, recorder: Recorder
) -> None:
    recorder.answer = Answer(after=asyncio.Event())
    request = asyncio.ensure_future(client.post("/path", {}))
    await recorder.came.wait()
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    await recorder.gone.wait()


async def test_a_slow_answer_is_waited_for(client: HttpClient, recorder: Recorder) -> None:
    ready = asyncio.Event()
    recorder.answer = Answer(body={"late": True}, after=ready)
    requests = [asyncio.ensure_future(client.post_json("/path", {})) for _ in range(20)]
    while len(recorder.requests) < 20:
        recorder.came.clear()
        await recorder.came.wait()
    ready.set()
    assert await asyncio.gather(*requests) == [{"late": True}] * 20
