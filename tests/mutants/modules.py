"""Which modules are changed, and which tests cover each, nearest first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]

# Not in the running worker or client: generators, what installs, fakes and models for tests.
LEFT_OUT_PYTHON = ("generated/", "gen/", "install/", "testing/", "small_models/")
# What is seen at vLLM itself, and what has no code.
LEFT_OUT_NAMES = ("__init__", "vllm_parts", "protocols")
LEFT_OUT_ELIXIR = (
    *("vllm/generated/", "mix/", "vllm/core/demo/", "vllm/core/doctor/"),
    # Their macros are in the modules that use them, which are not compiled anew.
    *("vllm/core/redacted_server", "vllm/core/outer_size"),
)

# Tests with a worker, by the beginning of the module's path; the first that fits counts.
PYTHON_BRIDGE = {
    "rpc/session": ("test_session.py", "test_receipts.py", "test_limits.py"),
    "rpc/grpc": ("test_calls.py", "test_listeners.py", "test_other_languages.py"),
    "rpc/health": ("test_health.py",),
    "rpc/metrics": ("test_operations.py",),
    "rpc/": ("test_listeners.py", "test_tls.py", "test_operations.py"),
    "wire/": ("test_mutated_frames.py", "test_session.py"),
    "process/": ("test_lifecycle.py", "test_operations.py"),
    "server": ("test_lifecycle.py", "test_operations.py"),
    "streaming/input": ("test_inputs.py",),
    "streaming/": ("test_streams.py", "test_cancel.py"),
    "dispatch/": ("test_calls.py", "test_references.py", "test_receipts.py", "test_limits.py"),
    "codec/": ("test_values.py", "test_streams.py"),
    "validation/": ("test_failures.py", "test_constructors.py"),
    "engines/collector": ("test_collector.py",),
    "offline/": ("test_llm.py",),
    "pooling/": ("test_poolings.py",),
    "surface": ("test_calls.py", "test_limits.py", "test_constructors.py"),
    "failures": ("test_failures.py",),
    "": ("test_calls.py", "test_streams.py"),
}
# Unit tests that cover a module beside its own and those of its folder, by the module's path.
PYTHON_UNIT = {
    "dispatch/": ("test_surface.py",),
    "": (),
}
ELIXIR_UNIT = {
    "core/call/": ("call_test.exs", "stream_test.exs", "core/connection_test.exs"),
    "core/codec/": ("codec_test.exs", "tensor_test.exs", "bytes_test.exs"),
    "core/connection/": ("core/connection_test.exs", "stream_test.exs"),
    "core/wire/session": ("core/connection/incoming_test.exs",),
    "call": ("generated/async_llm_test.exs", "core/connection_test.exs", "ref_test.exs"),
    "ref": ("core/connection_test.exs", "core/connection/references_test.exs"),
    "stream": ("core/call/consumer_test.exs",),
    "": (),
}
ELIXIR_BRIDGE = {
    "core/call/producer": ("streaming_input_test.exs",),
    "core/call/streamed": ("streaming_input_test.exs",),
    "core/call/": ("calls_test.exs", "streams_test.exs", "references_test.exs"),
    "core/codec/": ("values_test.exs", "streams_test.exs"),
    "core/connection/reconnect": ("attach_test.exs",),
    "core/connection/references": ("references_test.exs",),
    "core/connection/handover": ("references_test.exs",),
    "core/connection": ("calls_test.exs", "cancel_test.exs", "lost_worker_test.exs"),
    "core/instance/drain": ("drain_test.exs",),
    "core/instance/engine": ("engines_test.exs", "shared_engines_test.exs"),
    "core/instance/metrics": ("telemetry_test.exs", "status_test.exs"),
    "core/instance/watchdog": ("watchdog_test.exs",),
    "core/instance": ("instance_test.exs", "status_test.exs", "restarts_test.exs"),
    "core/telemetry": ("telemetry_test.exs",),
    "core/test": ("test_kit_faults_test.exs", "test_kit_replies_test.exs"),
    "core/wire/http2": ("http2_oracle_test.exs",),
    "core/wire/tls": ("tls_test.exs",),
    "core/worker": ("start_failures_test.exs", "restarts_test.exs", "socket_paths_test.exs"),
    "core/mellea": (
        "mellea_backend_test.exs",
        "mellea_hooks_test.exs",
        "mellea_sessions_test.exs",
        "mellea_thunks_test.exs",
        "mellea_values_test.exs",
    ),
    "core/pooling": ("pooling_test.exs",),
    "core/inference": ("inference_test.exs",),
    "core/llama_factory": ("llama_factory_test.exs",),
    "stream": ("streams_test.exs", "cancel_test.exs"),
    "": ("calls_test.exs", "instance_test.exs"),
}


@dataclass(frozen=True)
class Module:
    """A source, and its tests.

    Attributes:
        name: Its path below the sources, without the suffix.
        path: Its path in the tree.
        stages: The tests that cover it: its own, those of its folder, those with a worker.
    """

    name: str
    path: str
    stages: tuple[tuple[str, ...], ...]


def python_modules(tested_in: dict[str, str]) -> Iterator[Module]:
    """Returns the modules of the worker.

    Args:
        tested_in: Which file tests a module that has none of its name.
    """
    sources, tests = ROOT / "python_worker", ROOT / "tests/python"
    for path in sorted(sources.rglob("*.py")):
        name = path.relative_to(sources).with_suffix("").as_posix()
        if name.startswith(LEFT_OUT_PYTHON) or name.endswith(LEFT_OUT_NAMES):
            continue
        folder, own = tests / "unit" / Path(name).parent, Path(name).name.strip("_")
        mirrored = [*folder.glob(f"test_{own}.py"), *folder.glob(f"test_{own}_*.py")]
        if (other := tested_in.get(name, "")).startswith("unit/"):
            mirrored.append(tests / other)
        beside = [*(folder.glob("test_*.py") if "/" in name else ())]
        beside += [tests / "unit" / it for it in _covering(PYTHON_UNIT, name)]
        bridge = [tests / "bridge" / it for it in _covering(PYTHON_BRIDGE, name)]
        yield Module(name, _relative(path), _stages(mirrored, beside, bridge))


def elixir_modules() -> Iterator[Module]:
    """Returns the modules of the client."""
    sources, tests = ROOT / "elixir/lib", ROOT / "tests/elixir"
    for path in sorted(sources.rglob("*.ex")):
        name = path.relative_to(sources).with_suffix("").as_posix()
        if name.startswith(LEFT_OUT_ELIXIR):
            continue
        short = name.removeprefix("vllm/")
        mirrored = [it for it in [tests / "unit" / f"{short}_test.exs"] if it.exists()]
        folder = (tests / "unit" / short).parent
        beside = [*(folder.glob("*_test.exs") if "/" in short else ())]
        beside += [tests / "unit" / it for it in _covering(ELIXIR_UNIT, short)]
        bridge = [tests / "bridge" / it for it in _covering(ELIXIR_BRIDGE, short)]
        yield Module(name, _relative(path), _stages(mirrored, beside, bridge))


def _covering(table: dict[str, tuple[str, ...]], name: str) -> tuple[str, ...]:
    return next(files for beginning, files in table.items() if name.startswith(beginning))


def _stages(*stages: Iterable[Path]) -> tuple[tuple[str, ...], ...]:
    """Returns the paths of each stage, without those of the stages before it."""
    seen: set[str] = set()
    made = []
    for stage in stages:
        paths = sorted({_relative(it) for it in stage})
        made.append(tuple(it for it in paths if it not in seen))
        seen.update(paths)
    return tuple(made)


def _relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()
