"""A command line that cannot work is refused with the reason."""

from __future__ import annotations

import argparse
import re
import shlex

import pytest

from python_worker.command_line import LOG_LEVELS, parse, parser
from python_worker.settings import MAX_SOCKET_PATH_BYTES, Settings, SettingsError, TlsFiles


def test_the_defaults() -> None:
    assert parse(["--listen", "unix:/x.sock"], {}) == Settings(
        listen=("unix:/x.sock",), grpc_listen=("unix:/x.sock.grpc",)
    )


def test_everything_set() -> None:
    argv = ["--listen", "unix:/x.sock", "--listen", "tcp:127.0.0.1:0", "--lifeline", "stdin"]
    argv += ["--engine-class", "m:C", "--grace", "1.5", "--log-level", "debug"]
    argv += ["--nice", "3", "--max-calls", "7", "--grpc-listen", "tcp:[::1]:0"]
    assert parse(argv, {"VLLM_BRIDGE_TOKEN": "secret"}) == Settings(
        listen=("unix:/x.sock", "tcp:127.0.0.1:0"),
        grpc_listen=("tcp:[::1]:0",),
        token="secret",
        lifeline=True,
        engine_class="m:C",
        grace=1.5,
        max_calls=7,
        nice=3,
        log_level="DEBUG",
    )


def test_a_worker_that_may_do_nothing_is_refused() -> None:
    with pytest.raises(SettingsError, match="--max-calls is at least 1, got 0"):
        parse(["--listen", "unix:/x.sock", "--max-calls", "0"], {})


@pytest.mark.parametrize("nice", ["-1", "20"])
def test_a_nice_value_out_of_its_range_is_refused(nice: str) -> None:
    with pytest.raises(SettingsError, match=f"--nice is from 0 to 19, got {nice}"):
        parse(["--listen", "unix:/x.sock", "--nice", nice], {})


def test_a_socket_path_that_is_too_long_is_named_with_its_length() -> None:
    path = "/" + "x" * MAX_SOCKET_PATH_BYTES
    with pytest.raises(SettingsError, match=r"has 108 bytes.*at most 107"):
        parse(["--listen", f"unix:{path}"], {})


@pytest.mark.parametrize("option", ["--listen", "--grpc-listen"])
def test_tcp_wants_a_token(option: str) -> None:
    with pytest.raises(SettingsError, match="VLLM_BRIDGE_TOKEN"):
        parse(["--listen", "unix:/x.sock", option, "tcp:127.0.0.1:5000"], {})


TOKEN = {"VLLM_BRIDGE_TOKEN": "x"}


@pytest.mark.parametrize(
    ("address", "derived"),
    [
        ("unix:/x.sock", "unix:/x.sock.grpc"),
        ("tcp:127.0.0.1:5000", "tcp:127.0.0.1:5001"),
        ("tcp:[::1]:5000", "tcp:[::1]:5001"),
        ("tcp:127.0.0.1:0", "tcp:127.0.0.1:0"),
    ],
)
def test_grpc_is_beside_each_address_of_the_sessions(address: str, derived: str) -> None:
    settings = parse(["--listen", address, "--listen", "unix:/y"], TOKEN)
    assert settings.grpc_listen == (derived, "unix:/y.grpc")


def test_metrics_over_tcp_want_one_of_the_tokens() -> None:
    argv = ["--listen", "unix:/x", "--metrics-listen", "tcp:127.0.0.1:0"]
    with pytest.raises(SettingsError, match="VLLM_BRIDGE_TOKEN"):
        parse(argv, {})
    for name in ("VLLM_BRIDGE_TOKEN", "VLLM_BRIDGE_METRICS_TOKEN"):
        assert parse(argv, {name: "x"}).metrics_listen == ("tcp:127.0.0.1:0",)
    # It opens nothing but the metrics.
    with pytest.raises(SettingsError, match="VLLM_BRIDGE_TOKEN"):
        parse(["--listen", "tcp:127.0.0.1:0"], {"VLLM_BRIDGE_METRICS_TOKEN": "x"})


def test_metrics_have_an_address_of_their_own() -> None:
    with pytest.raises(SettingsError, match="twice"):
        parse(["--listen", "unix:/x", "--metrics-listen", "unix:/x"], {})


@pytest.mark.parametrize("url", ["localhost:4317", "unix:/x", "http://", "http://h:x", "http://[1"])
def test_what_is_no_url_of_a_collector_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="--otlp-endpoint"):
        parse(["--listen", "unix:/x", "--otlp-endpoint", url], {})


def test_grpc_can_be_turned_off() -> None:
    assert parse(["--listen", "unix:/x", "--grpc-listen", "none"], {}).grpc_listen == ()


def test_grpc_is_not_turned_off_and_given_an_address() -> None:
    with pytest.raises(SettingsError, match="none excludes any other"):
        parse(["--listen", "unix:/x", "--grpc-listen", "none", "--grpc-listen", "unix:/y"], {})


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("unix:/" + "x" * 102, r"has 108 bytes.*at most 107"),
        ("tcp:127.0.0.1:65535", "a port above 65535"),
    ],
)
def test_an_address_without_room_beside_it_names_the_option_for_another(
    address: str, reason: str
) -> None:
    with pytest.raises(SettingsError, match=f"beside {address}.*{reason}.*--grpc-listen none"):
        parse(["--listen", address], TOKEN)
    assert parse(["--listen", address, "--grpc-listen", "none"], TOKEN).listen == (address,)


@pytest.mark.parametrize(
    "argv",
    [
        ["--listen", "unix:/x", "--listen", "unix:/x"],
        ["--listen", "unix:/x", "--grpc-listen", "unix:/x"],
        ["--listen", "tcp:h:5000", "--listen", "tcp:h:5001"],
    ],
)
def test_an_address_that_is_named_twice_is_refused(argv: list[str]) -> None:
    with pytest.raises(SettingsError, match="to be listened at twice"):
        parse(argv, TOKEN)


def test_a_port_that_does_not_exist_is_refused() -> None:
    with pytest.raises(SettingsError, match="a port above 65535"):
        parse(["--listen", "tcp:127.0.0.1:70000"], TOKEN)


def test_free_ports_may_be_asked_for_twice() -> None:
    assert parse(["--listen", "tcp:h:0", "--listen", "tcp:h:0"], TOKEN).listen == ("tcp:h:0",) * 2


@pytest.mark.parametrize("address", ["", "unix:", "/x.sock", "tcp:host", "http://x:1"])
def test_an_address_of_no_known_form_is_refused(address: str) -> None:
    with pytest.raises(SettingsError, match="neither unix:PATH nor tcp:HOST:PORT"):
        parse(["--listen", address], {"VLLM_BRIDGE_TOKEN": "x"})


@pytest.mark.parametrize("option", ["--grace", "--stall-after"])
@pytest.mark.parametrize("seconds", ["-1", "nan", "inf", "1e300"])
def test_a_time_that_no_timer_takes_is_refused(option: str, seconds: str) -> None:
    with pytest.raises(SettingsError, match=f"{option} is from 0 to .* seconds, got"):
        parse(["--listen", "unix:/x.sock", option, seconds], {})


def test_a_level_that_does_not_exist_is_refused_with_those_that_do(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit, match="2"):
        parse(["--listen", "unix:/x.sock", "--log-level", "loud"], {})
    told = capsys.readouterr().err
    assert all(level in told for level in LOG_LEVELS)


# --- The help


def actions() -> list[argparse.Action]:
    return [action for action in parser()._actions if action.dest != "help"]


@pytest.mark.parametrize("action", actions(), ids=lambda action: action.dest)
def test_the_help_of_an_option_says_what_it_is_without_it(action: argparse.Action) -> None:
    assert action.help is not None
    says_default = re.search(r"%\(default\)s|Default:|required|for tests", action.help)
    assert says_default, "say the default, or that it is required"
    assert len(action.help) > 60


def test_the_help_has_everything_that_an_operator_needs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    text = parser().format_help()
    for part in (
        *("environment variables:", "VLLM_BRIDGE_TOKEN", "exit status:", "examples:"),
        *("signals:", "VLLM_BRIDGE READY", "SECONDS"),
    ):
        assert part in text
    assert max(map(len, text.splitlines())) <= 80


def test_the_examples_of_the_help_are_command_lines() -> None:
    examples = parser().format_help().partition("examples:")[2].replace("\\\n", " ")
    lines = [shlex.split(line, comments=True) for line in examples.splitlines() if line.strip()]
    assert len(lines) == 3
    for line in lines:
        arguments = line[line.index("python_worker") + 1 :]
        parse(arguments, {"VLLM_BRIDGE_TOKEN": "x"})


# --- TLS and roles

TLS = ["--tls-cert", "/c", "--tls-key", "/k"]


@pytest.mark.parametrize("address", ["tcp:h:5000", "tls:h:5000", "tls://h:5000"])
@pytest.mark.parametrize("option", ["--listen", "--grpc-listen"])
def test_with_a_certificate_every_network_address_takes_tls(option: str, address: str) -> None:
    parsed = parse(["--listen", "unix:/x", option, address, *TLS], TOKEN)
    assert "tls:h:5000" in (*parsed.listen, *parsed.grpc_listen)
    assert parsed.tls == TlsFiles("/c", "/k")


def test_grpc_beside_an_address_with_tls_takes_it_too() -> None:
    assert parse(["--listen", "tls://h:5000", *TLS], TOKEN).grpc_listen == ("tls:h:5001",)


@pytest.mark.parametrize(
    "more", [["--tls-client-ca", "/ca", *TLS], ["--roles", "/roles", *TLS], ["--roles", "/roles"]]
)
def test_certificates_of_clients_and_roles_do_in_place_of_a_token(more: list[str]) -> None:
    parsed = parse(["--listen", "tcp:h:5000", *more], {})
    assert parsed.token == ""
    assert parsed.roles == ("/roles" if "--roles" in more else "")


def test_tls_alone_wants_a_token() -> None:
    with pytest.raises(SettingsError, match=r"VLLM_BRIDGE_TOKEN.*--tls-client-ca"):
        parse(["--listen", "tls://h:5000", *TLS], {})


@pytest.mark.parametrize(
    "given", [["--tls-cert", "/c"], ["--tls-key", "/k"], ["--tls-client-ca", "/ca"]]
)
def test_a_certificate_and_its_key_come_together(given: list[str]) -> None:
    with pytest.raises(SettingsError, match="both --tls-cert and --tls-key"):
        parse(["--listen", "unix:/x", *given], TOKEN)


def test_an_address_with_tls_needs_the_files() -> None:
    with pytest.raises(SettingsError, match="tls://h:1 needs --tls-cert and --tls-key"):
        parse(["--listen", "tls://h:1"], TOKEN)
