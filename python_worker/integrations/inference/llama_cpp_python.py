"""llama-cpp-python in the process of a ``LlamaCppProvider``, where there is no xllamacpp.

The library's own server needs more libraries than the worker has, so here is one for the only route
that the worker asks. It is given the library's model by ``llama_cpp_child``.
"""

from __future__ import annotations

import json
import secrets
import select
import socket
import threading
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

ROUTE: Final = "/v1/completions"

READ_SECONDS: Final = 60.0
"""How long a client may take to send a request: the worker has it ready."""

Left = Callable[[], bool]
"""Whether the client has left, so that nobody reads the answer."""

Complete = Callable[[Mapping[str, Any], Left], Mapping[str, Any]]
"""Answers the fields of a request."""


def completions(library: Any, settings: Mapping[str, Any]) -> Complete:
    """Loads a model.

    Args:
        library: The module ``llama_cpp``.
        settings: See ``llama_cpp_process.Settings``.

    Returns:
        What generates a text with it, one text at a time.

    Raises:
        ValueError: The model cannot be loaded.
        RuntimeError: The adapter cannot be loaded.
    """
    threads = settings["threads"]
    model = library.Llama(
        settings["model_path"],
        n_ctx=settings["n_ctx"],
        n_gpu_layers=settings["n_gpu_layers"],
        n_threads=threads,
        n_threads_batch=threads,
        lora_path=settings["adapter_path"],
        verbose=False,
    )
    turn = threading.Lock()

    def complete(fields: Mapping[str, Any], left: Left) -> Mapping[str, Any]:
        criteria = library.StoppingCriteriaList([lambda _tokens, _logits: left()])
        # Without a seed every text of a model has the same random numbers.
        seed = secrets.randbelow(2**31)
        with turn:
            answer: Mapping[str, Any] = model.create_completion(
                **fields, seed=seed, stopping_criteria=criteria
            )
        return answer

    return complete


class CompletionServer(ThreadingHTTPServer):
    """Serves a model on a port of this machine, from its making on.

    Args:
        complete: Answers a request.
        api_key: What a client has to know.

    Attributes:
        complete: As given.
        authorization: The value of the header of this name.
    """

    def __init__(self, complete: Complete, api_key: str) -> None:
        super().__init__(("127.0.0.1", 0), CompletionHandler)
        self.complete = complete
        self.authorization = f"Bearer {api_key}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def listening_address(self) -> str:
        """The URL before the route."""
        return f"http://127.0.0.1:{self.server_address[1]}"


class CompletionHandler(BaseHTTPRequestHandler):
    """Reads one request and answers it."""

    server: CompletionServer
    timeout = READ_SECONDS

    def do_POST(self) -> None:
        """Generates a text."""
        given, wanted = self.headers.get("Authorization", ""), self.server.authorization
        if not secrets.compare_digest(given.encode(), wanted.encode()):
            self._send(HTTPStatus.UNAUTHORIZED, error("the key is wrong"))
        elif self.path != ROUTE:
            self._send(HTTPStatus.NOT_FOUND, error(f"there is no {self.path}"))
        else:
            length = int(self.headers.get("Content-Length", "0"))
            self._send(*self._answer(json.loads(self.rfile.read(length))))

    def _answer(self, fields: Mapping[str, Any]) -> tuple[HTTPStatus, Mapping[str, Any]]:
        try:
            return HTTPStatus.OK, self.server.complete(fields, lambda: has_left(self.connection))
        except ValueError as wrong:
            # The library says so of a prompt that does not fit.
            return HTTPStatus.BAD_REQUEST, error(str(wrong))
        except Exception as failed:
            return (
                HTTPStatus.INTERNAL_SERVER_ERROR,
                error(f"{type(failed).__name__}: {failed}"),
            )

    def _send(self, status: HTTPStatus, answer: Mapping[str, Any]) -> None:
        content = json.dumps(answer).encode()
        try:
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
        except OSError:  # the client has left
            pass

    def log_message(self, format: str, *args: Any) -> None:
        """Logs nothing: each request is a line of no use."""


def error(message: str) -> dict[str, Any]:
    """An error as OpenAI's API has it."""
    return {"error": {"message": message}}


def has_left(connection: socket.socket) -> bool:
    """Whether a client has closed its connection. It sends nothing after its request."""
    readable, _, _ = select.select([connection], [], [], 0)
    if not readable:
        return False
    try:
        return not connection.recv(1, socket.MSG_PEEK)
    except OSError:
        return True
