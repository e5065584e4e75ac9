"""A command line that cannot work is refused with the reason."""

from __future__ import annotations

import pytest

from python_worker.settings import MAX_SOCKET_PATH_BYTES, Settings, SettingsError, parse


def test_the_defaults() -> None:
    assert parse(["--listen", "unix:/x.sock"], {}) == Settings(listen=("unix:/x.sock",))


def test_everything_set() -> None:
    argv = ["--listen", "unix:/x.sock", "--listen", "tcp:127.0.0.1:0", "--lifeline", "stdin"]
    argv += ["--engine-class", "m:C", "--grace", "1.5", "--log-level", "debug"]
    argv += ["--max-calls", "7", "--token-path", "outputs"]
    assert parse(argv, {"VLLM_BRIDGE_TOKEN": "secret"}) == Settings(
        listen=("unix:/x.sock", "tcp:127.0.0.1:0"),
        token="secret",
        lifeline=True,
        engine_class="m:C",
        grace=1.5,
        max_calls=7,
        token_path="outputs",
        log_level="DEBUG",
    )


def test_a_worker_that_may_do_nothing_is_refused() -> None:
    with pytest.raises(SettingsError, match="--max-calls is at least 1, got 0"):
        parse(["--listen", "unix:/x.sock", "--max-calls", "0"], {})


def test_a_socket_path_that_is_too_long_is_named_with_its_length() -> None:
    path = "/" + "x" * MAX_SOCKET_PATH_BYTES
    with pytest.raises(SettingsError, match=r"has 108 bytes.*at most 107"):
        parse(["--listen", f"unix:{path}"], {})


def test_tcp_wants_a_token() -> None:
    with pytest.raises(SettingsError, match="VLLM_BRIDGE_TOKEN"):
        parse(["--listen", "tcp:127.0.0.1:5000"], {})


@pytest.mark.parametrize("address", ["", "unix:", "/x.sock", "tcp:host", "http://x:1"])
def test_an_address_of_no_known_form_is_refused(address: str) -> None:
    with pytest.raises(SettingsError, match="neither unix:PATH nor tcp:HOST:PORT"):
        parse(["--listen", address], {"VLLM_BRIDGE_TOKEN": "x"})
