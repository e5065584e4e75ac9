"""The drift report: two vLLM versions told apart by their source, without importing either."""

from __future__ import annotations

import json
import textwrap
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from python_worker.gen import manifest
from python_worker.gen.drift import __main__ as drift
from python_worker.gen.drift import surface_diff
from python_worker.gen.drift.package import read_package
from python_worker.gen.drift.surface import Surface, from_manifest
from python_worker.gen.drift.surface_source import from_source

ENGINE = "vllm/v1/engine/async_llm.py"
LORA = "vllm/lora/request.py"
ARGS = "vllm/engine/arg_utils.py"
CONFIG = "vllm/config/model.py"
OUTPUTS = "vllm/outputs.py"
KIND = "vllm/sampling_params.py"

BASE = {
    "vllm/__init__.py": "import torch_that_is_not_installed\n",
    "vllm/_version.py": "__version__ = version = '1.0.0+cpu'\n",
    "vllm/config/__init__.py": "from .model import ModelConfig\n",
    CONFIG: """
        class ModelConfig:
            model: str = "small"
            seed: int = 0
        """,
    ARGS: """
        from dataclasses import dataclass, field
        from vllm.config import ModelConfig

        @dataclass
        class EngineArgs:
            model: str = ModelConfig.model
            seed: int = get_field(ModelConfig, "seed")
            stop: list[str] = field(default_factory=list)

        @dataclass
        class AsyncEngineArgs(EngineArgs):
            enable_log_requests: bool = False

            def create_engine_config(self, headless: bool = False) -> int: ...
            def not_served(self): ...
        """,
    LORA: """
        class LoRARequest(msgspec.Struct):
            lora_name: str
            lora_int_id: int
            _secret: int = 0
        """,
    OUTPUTS: """
        class RequestOutput:
            def __init__(self, request_id: str, finished: bool = False, **kwargs): ...
        """,
    KIND: """
        class RequestOutputKind(Enum):
            CUMULATIVE = 0
            DELTA = 1
        """,
    "vllm/engine/protocol.py": """
        class EngineClient(ABC):
            @abstractmethod
            def inherited(self) -> int: ...
        """,
    ENGINE: '''
        from vllm.engine.protocol import EngineClient

        class AsyncLLM(EngineClient):
            """The engine."""

            def __init__(self, config):
                self.config = config
                self._lock = None

            async def generate(self, prompt: str, priority: int = 0, *, rank: int | None = None):
                """Generate."""
                yield 1

            async def sleep(self, level: int = 1, mode: str = "abort") -> None:
                """Sleep."""

            @property
            def is_running(self) -> bool: ...

            def _private(self): ...
        ''',
}


def written(folder: Path, files: Mapping[str, str]) -> Path:
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(textwrap.dedent(text), encoding="utf-8")
    return folder


def of_both(*lines: str) -> list[str]:
    """A difference of a field that both classes of arguments have."""
    return ["AsyncEngineArgs", *lines, "", "EngineArgs", *lines]


def changed(path: str, old: str, new: str) -> dict[str, str]:
    assert old in BASE[path]
    return {**BASE, path: BASE[path].replace(old, new)}


def surface(folder: Path) -> Surface:
    package = read_package(folder, "vllm")
    assert package
    return from_source(package, manifest.load())


def differences(tmp_path: Path, other: Mapping[str, str]) -> list[str]:
    ours = surface(written(tmp_path / "ours", BASE))
    return surface_diff.report(ours, surface(written(tmp_path / "other", other)))


def test_a_version_does_not_differ_from_itself(tmp_path: Path) -> None:
    assert differences(tmp_path, BASE) == []


@pytest.mark.parametrize(
    ("path", "old", "new", "lines"),
    [
        (
            ENGINE,
            "async def sleep(self, level: int = 1",
            "async def nap(self, level: int = 1",
            [
                "AsyncLLM",
                "  + nap(level: int = 1, mode: str = 'abort') -> None  [coroutine]",
                "  - sleep(level: int = 1, mode: str = 'abort') -> None  [coroutine]",
            ],
        ),
        (
            ENGINE,
            "level: int = 1, mode",
            "mode",
            ["AsyncLLM", "  ~ sleep", "      - level: int = 1"],
        ),
        (
            ENGINE,
            "level: int = 1",
            "level: float = 2",
            [
                "AsyncLLM",
                "  ~ sleep",
                "      ~ level",
                "          type: int -> float",
                "          default: 1 -> 2",
            ],
        ),
        (
            ENGINE,
            'level: int = 1, mode: str = "abort"',
            'mode: str = "abort", level: int = 1',
            ["AsyncLLM", "  ~ sleep", "      order: level, mode -> mode, level"],
        ),
        (
            ENGINE,
            "level: int = 1, ",
            "level: int = 1, tag: int = 0, ",
            [
                "AsyncLLM",
                "  ~ sleep",
                "      + tag: int = 0",
                "      order: level, mode -> level, tag, mode",
            ],
        ),
        (
            ENGINE,
            "priority: int = 0, *, rank",
            "*, priority: int = 0, rank",
            [
                "AsyncLLM",
                "  ~ generate",
                "      ~ priority",
                "          kind: positional -> keyword",
            ],
        ),
        (
            ENGINE,
            "async def sleep",
            "def sleep",
            ["AsyncLLM", "  ~ sleep", "      kind: coroutine -> function"],
        ),
        (
            ENGINE,
            "@property\n            def",
            "def",
            ["AsyncLLM", "  ~ is_running", "      kind: property -> function"],
        ),
        (
            ENGINE,
            "self.config = config",
            "self.other = config",
            ["AsyncLLM", "  + attribute other", "  - attribute config"],
        ),
        (
            "vllm/engine/protocol.py",
            "def inherited(self) -> int",
            "def inherited(self) -> str",
            ["AsyncLLM", "  ~ inherited", "      returns: int -> str"],
        ),
        (ENGINE, '"""Sleep."""', '"""Sleep well."""', ["Other docstrings", "  AsyncLLM.sleep"]),
        (
            LORA,
            "lora_int_id: int",
            "lora_int_id: int = 1\n            path: str = ''",
            [
                "LoRARequest",
                "  + field path: str = ''",
                "  ~ field lora_int_id",
                "      default: none -> 1",
            ],
        ),
        (
            CONFIG,
            '"small"',
            '"large"',
            of_both("  ~ field model", "      default: 'small' -> 'large'"),
        ),
        (
            CONFIG,
            "seed: int = 0",
            "seed: int = 1",
            of_both("  ~ field seed", "      default: 0 -> 1"),
        ),
        (
            ARGS,
            "headless: bool = False",
            "headless: bool",
            [
                "AsyncEngineArgs",
                "  ~ create_engine_config",
                "      ~ headless",
                "          default: False -> none",
            ],
        ),
        (
            OUTPUTS,
            "finished: bool = False",
            "ended: bool = False",
            [
                "RequestOutput",
                "  + field ended: bool = False",
                "  - field finished: bool = False",
            ],
        ),
        (
            KIND,
            "DELTA = 1",
            "FINAL = 1",
            ["RequestOutputKind", "  + member FINAL", "  - member DELTA"],
        ),
        (KIND, "RequestOutputKind", "Kind", ["- RequestOutputKind"]),
    ],
)
def test_a_difference_is_named(
    tmp_path: Path, path: str, old: str, new: str, lines: list[str]
) -> None:
    assert differences(tmp_path, changed(path, old, new)) == ["", *lines]


@pytest.mark.parametrize(
    ("path", "old", "new"),
    [
        (ENGINE, "def _private(self)", "def _private(self, x)"),
        (ENGINE, "self._lock", "self._other"),
        (ARGS, "def not_served(self)", "def not_served(self, x)"),
        (LORA, "_secret: int = 0", "_secret: int = 1"),
    ],
)
def test_what_the_bridge_does_not_serve_is_no_difference(
    tmp_path: Path, path: str, old: str, new: str
) -> None:
    assert differences(tmp_path, changed(path, old, new)) == []


def test_a_method_without_words_has_those_of_its_parent(tmp_path: Path) -> None:
    override = changed(ENGINE, "def _private(self)", "def inherited(self) -> int")
    documented = 'def inherited(self) -> int:\n                """Inherited."""'
    protocol = {"vllm/engine/protocol.py": BASE["vllm/engine/protocol.py"]}
    protocol["vllm/engine/protocol.py"] = protocol["vllm/engine/protocol.py"].replace(
        "def inherited(self) -> int: ...", documented
    )

    described = surface(written(tmp_path, {**override, **protocol})).classes["AsyncLLM"]
    assert {m.name: m.doc for m in described.methods}["inherited"] == "Inherited."


def test_a_class_is_found_where_it_has_moved(tmp_path: Path) -> None:
    moved = {path: text for path, text in BASE.items() if path != LORA}
    moved["vllm/adapters.py"] = BASE[LORA]

    assert differences(tmp_path, moved) == [
        "",
        "LoRARequest",
        "  ~ moved: vllm.lora.request.LoRARequest -> vllm.adapters.LoRARequest",
    ]


def test_the_nearest_of_several_classes_is_meant(tmp_path: Path) -> None:
    moved = {path: text for path, text in BASE.items() if path != LORA}
    moved["vllm/lora/far/away.py"] = BASE[LORA]
    moved["vllm/another.py"] = "class LoRARequest:\n    other: int = 0\n"

    assert differences(tmp_path, moved)[2:] == [
        "  ~ moved: vllm.lora.request.LoRARequest -> vllm.lora.far.away.LoRARequest"
    ]


def test_a_wheel_is_read_as_a_folder_is(tmp_path: Path) -> None:
    folder = written(tmp_path / "ours", BASE)
    wheel = tmp_path / "vllm-1.0.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path in BASE:
            archive.write(folder / path, path)

    assert surface(wheel) == surface(folder) == surface(folder / "vllm")
    assert surface(wheel).version == "1.0.0"


def test_the_exit_status_says_whether_something_differs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ours = written(tmp_path / "ours", BASE)
    other = written(tmp_path / "other", changed(ENGINE, "mode: str", "mode: bytes"))

    assert drift.main([str(ours), "--base", str(ours)]) == drift.NOTHING
    assert capsys.readouterr().out == "vLLM 1.0.0 -> 1.0.0: no differences\n"
    assert drift.main([str(other), "--base", str(ours)]) == drift.DIFFERENT
    assert "  ~ sleep\n      ~ mode\n          type: str -> bytes\n" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["", "empty", "missing.whl", "missing.json"])
def test_nothing_to_compare_is_said(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    ours = written(tmp_path / "ours", BASE)

    assert drift.main([str(tmp_path / name), "--base", str(ours)]) == drift.IMPOSSIBLE
    assert str(tmp_path) in capsys.readouterr().err


def test_a_manifest_is_compared_with_the_committed_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other: dict[str, Any] = manifest.load()
    file = tmp_path / "manifest.json"
    file.write_text(json.dumps(other))
    assert drift.main([str(file)]) == drift.NOTHING

    sleep = next(m for m in other["async_llm"]["members"] if m["name"] == "sleep")
    sleep["parameters"][0]["default"] = 2
    other["vllm_version"] = "9.9"
    file.write_text(json.dumps(other))
    capsys.readouterr()
    assert drift.main([str(file)]) == drift.DIFFERENT
    report = capsys.readouterr().out
    assert report.splitlines()[1:] == [
        "",
        "AsyncLLM",
        "  ~ sleep",
        "      ~ level",
        "          default: 1 -> 2",
    ]


def test_a_manifest_is_not_compared_with_source(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ours = written(tmp_path / "ours", BASE)

    assert drift.main([str(drift.manifest_path()), "--base", str(ours)]) == drift.IMPOSSIBLE
    assert "a manifest is compared with a manifest" in capsys.readouterr().err


def test_defaults_of_a_manifest_are_words() -> None:
    classes = from_manifest(manifest.load()).classes
    members = {method.name: method for method in classes["AsyncLLM"].methods}
    constructor = {p.name: p.default for p in members["__init__"].parameters}

    assert constructor["usage_context"] == "UsageContext.ENGINE_CONTEXT"
    assert constructor["vllm_config"] is None
    assert constructor["stat_loggers"] == "None"
