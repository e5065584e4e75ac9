"""A setting is taken from the command line, else the environment, else the file."""

from __future__ import annotations

from pathlib import Path

import pytest

from python_worker import command_line
from python_worker.command_line import parse
from python_worker.settings import Settings, SettingsError
from python_worker.settings_sources import FILE_SOURCES, PREFIX, elements

TOML = 'listen = ["unix:/file"]\ngrace = 30\nlog_level = "warning"\n'
YAML = "listen: [unix:/file]\ngrace: 30\nlog_level: warning\n"
JSON = '{"listen": ["unix:/file"], "grace": 30, "log_level": "warning"}'

TEXTS = {".toml": TOML, ".yaml": YAML, ".yml": YAML, ".json": JSON}


def written(folder: Path, text: str, name: str = "worker.toml") -> str:
    path = folder / name
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize("suffix", FILE_SOURCES)
def test_a_file_of_each_format_is_read(suffix: str, tmp_path: Path) -> None:
    path = written(tmp_path, TEXTS[suffix], f"worker{suffix}")
    expected = Settings(
        listen=("unix:/file",), grpc_listen=("unix:/file.grpc",), grace=30.0, log_level="WARNING"
    )
    assert parse(["--config", path], {}) == expected
    assert parse([], {"VLLM_BRIDGE_CONFIG": path}) == expected


def test_the_command_line_goes_before_the_environment_and_that_before_the_file(
    tmp_path: Path,
) -> None:
    file = ["--config", written(tmp_path, TOML + "nice = 1\n")]
    environment = {"VLLM_BRIDGE_GRACE": "20", "VLLM_BRIDGE_LISTEN": "unix:/a, unix:/b"}
    found = parse(file, environment)
    assert (found.grace, found.nice) == (20.0, 1)
    assert found.listen == ("unix:/a", "unix:/b"), "a list is taken whole from one of them"
    found = parse([*file, "--grace", "10", "--listen", "unix:/c"], environment)
    assert (found.grace, found.nice, found.listen) == (10.0, 1, ("unix:/c",))


def test_every_setting_can_be_given_in_each_way(tmp_path: Path) -> None:
    """A new field of ``Settings`` needs nothing but an option of its name."""
    options = {action.dest for action in command_line.parser()._actions} - {"help", "config"}
    fields = set(Settings.__dataclass_fields__) - command_line.COMMAND_LINE_ONLY
    assert options - {"lifeline"} == fields
    values = {
        "float": ("7.5", 7.5),
        "int": ("7", 7),
        "tuple[str, ...]": ("unix:/x", ("unix:/x",)),
        "str": ("INFO", "INFO"),
        "str | None": ("http://host:4317", "http://host:4317"),
        "TokenPathSetting": ("outputs", "outputs"),
        "LogFormat": ("json", "json"),
    }
    for name in sorted(fields):
        text, value = values[str(Settings.__dataclass_fields__[name].type)]
        quoted = f'["{text}"]' if isinstance(value, tuple) else f'"{text}"'
        listen = [] if name == "listen" else ["--listen", "unix:/y"]
        # None of the files of TLS is taken alone.
        listen += [
            it
            for option in ("--tls-cert", "--tls-key")
            if name.startswith("tls_") and option != f"--{name.replace('_', '-')}"
            for it in (option, "/a/file")
        ]
        file = written(tmp_path, f"{name} = {quoted}\n")
        assert getattr(parse([*listen, "--config", file], {}), name) == value
        assert getattr(parse(listen, {PREFIX + name.upper(): text}), name) == value


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("grace = 'long'", "grace: .* got 'long'"),
        ("gracee = 3", "gracee is no setting; there are engine_class, grace, "),
        ("token = 'secret'", "token is no setting"),
        ("lifeline = 'stdin'", "lifeline is no setting"),
        ("grace = = 3", "cannot be read"),
        ("token_path = 'other'", "token_path: .* got 'other'"),
        ("listen = 'udp:x'", "udp:x"),
        ("log_format = 'xml'", "log_format: .* got 'xml'"),
    ],
)
def test_what_is_wrong_with_a_file_is_named_with_the_file(
    text: str, said: str, tmp_path: Path
) -> None:
    path = written(tmp_path, text)
    with pytest.raises(SettingsError, match=said) as refused:
        parse(["--config", path], {})
    assert "secret" not in str(refused.value)


def test_a_file_that_is_not_there_or_has_no_known_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"missing\.toml cannot be read"):
        parse(["--config", str(tmp_path / "missing.toml")], {})
    with pytest.raises(SettingsError, match=r"has to end in \.json, \.toml"):
        parse(["--config", written(tmp_path, TOML, "worker.ini")], {})


@pytest.mark.parametrize(
    ("name", "value"), [("NICE", "x"), ("LOG_FORMAT", "xml"), ("GRPC_LISTEN", "[1")]
)
def test_what_is_wrong_with_the_environment_is_named_with_the_variable(
    name: str, value: str
) -> None:
    with pytest.raises(SettingsError, match=f"VLLM_BRIDGE_{name}: "):
        parse(["--listen", "unix:/x"], {f"VLLM_BRIDGE_{name}": value})


def test_other_variables_are_left_alone() -> None:
    environment = {"VLLM_BRIDGE_FOLDER": "/x", "VLLM_BRIDGE_OTHER": "y", "GRACE": "z"}
    assert parse(["--listen", "unix:/x"], environment).grace == Settings.grace


def test_elements_of_a_list() -> None:
    assert elements("a, b,,c") == ["a", "b", "c"]
    assert elements('["a,b"]') == ["a,b"]
    assert elements(["a"]) == ["a"]
