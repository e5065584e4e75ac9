"""The layout holds: what lies at the top, and who may import what.

One importer for each foreign thing keeps its surprises in one file (STYLE: "one importer per
foreign thing"). These tests read the sources; they import nothing of them.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
WORKER = ROOT / "python_worker"
CLIENT = ROOT / "elixir" / "lib"

TOP_LEVEL = {
    *("python_worker", "elixir", "proto", "tests", "mix.exs", "pyproject.toml", "README.md"),
    *("Makefile", "CHANGELOG.md", "LICENSE", ".formatter.exs", ".iex.exs", ".ci", ".gitignore"),
    *("AGENTS.md", "usage-rules.md"),
    # Container, Kubernetes and systemd files, for operators.
    "deploy",
}

# The layers of the worker, bottom first. A module imports from its own layer and from those below.
LAYERS: tuple[frozenset[str], ...] = tuple(
    map(
        frozenset,
        (
            {"exceptions", "settings", "buffers", "finite", "generated", ""},
            {"wire", "codec", "process"},
            {"failures", "core_errors", "streaming"},
            {"validation"},
            {"engines"},
            {"dispatch"},
            {"rpc", "offline", "chat", "pooling"},
            {"integrations"},
            {"surface"},
            {"server", "command_line", "settings_addresses", "settings_sources", "node"},
            {"__main__"},
        ),
    )
)

# Not part of the running worker: each may import from it, and nothing of it imports them.
APART = frozenset({"gen", "testing", "small_models", "install"})

# Foreign thing -> the folders and files of the worker that may import it; folders end in "/".
PYTHON_IMPORTERS = {
    # Those of `process/` run inside of vLLM's own processes.
    "vllm": {
        *(
            "engines/",
            "offline/",
            "chat/",
            "pooling/",
            "integrations/",
            "gen/",
            "testing/",
            "node/",
        ),
    },
    "torch": {
        *("finite.py", "codec/tensors.py", "engines/builder.py", "testing/"),
        *("process/child.py", "process/fresh_blocks.py", "process/yi_vl_projector.py"),
        "integrations/inference/transformers_model.py",
        *("integrations/llama_factory/hosting.py", "small_models/voices.py"),
    },
    "numpy": {
        *("codec/tensors.py", "engines/media/vllm_parts.py", "small_models/", "testing/"),
        "integrations/llama_factory/media.py",
    },
    "PIL": {"engines/media/vllm_parts.py"},
    "cv2": {"engines/media/vllm_parts.py"},
    "gguf": {"small_models/", "testing/models/"},
    "msgpack": {
        *(
            "codec/decoder.py",
            "codec/encoder.py",
            "codec/large_arrays.py",
            "codec/large_values.py",
            "codec/metrics_patch.py",
        ),
        "codec/reducers.py",
        "engines/kv_events.py",
        "testing/",
    },
    "zmq": {
        *("engines/kv_events.py", "engines/abandonment.py", "engines/core_client.py"),
        *("engines/guards/core_parts.py", "process/heartbeats.py", "process/head_link.py"),
        "process/remote_workers.py",
    },
    "prometheus_client": {"engines/prometheus_series.py", "rpc/metrics_text.py"},
    "aiohttp": {"rpc/metrics_server.py"},
    "pydantic_settings": {"settings_sources.py"},
    "opentelemetry": {"dispatch/call_spans.py"},
    "uvloop": {"__main__.py", "rpc/", "server.py"},
    "llamafactory": {"integrations/llama_factory/hosting.py"},
    "httpx": {"integrations/inference/http_client.py"},
    # What mellea gives its classes is theirs: the backend is one of them, and so are components.
    "mellea": {
        *("integrations/mellea/local_backend.py", "integrations/mellea/components.py"),
        *("integrations/mellea/library.py", "integrations/mellea/images.py"),
        *("integrations/mellea/requirements.py", "integrations/mellea/tools.py"),
        *("integrations/mellea/template_formatter.py", "integrations/mellea/prompts.py"),
        *("integrations/mellea/requests.py", "integrations/mellea/made_texts.py"),
    },
    "xllamacpp": {"integrations/inference/llama_cpp_child.py"},
    "llama_cpp": {"integrations/inference/llama_cpp_child.py"},
    "peft": {"integrations/inference/transformers_model.py"},
    "transformers": {
        "integrations/inference/transformers_model.py",
        *("testing/models/vision_models.py", "testing/models/audio_models.py"),
        "small_models/voices.py",
    },
}

# Foreign thing, as it looks in Elixir -> how many files may name it.
ELIXIR_IMPORTERS = {
    "cowlib": r":cow_\w+\.",
    "Port": r"\bPort\.(open|command|close|connect|info)\(",
}


def worker_files() -> Iterator[Path]:
    for path in sorted(WORKER.rglob("*.py")):
        if "generated" not in path.relative_to(WORKER).parts:
            yield path


def imports(path: Path) -> set[str]:
    """Top-level packages that the file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "extras.load":
            module = node.args[1]
            assert isinstance(module, ast.Constant), f"{path}: name the library"
            found.add(str(module.value).split(".")[0])
    return found


def is_allowed(name: str, allowed: set[str]) -> bool:
    return name in allowed or any(name.startswith(it) for it in allowed if it.endswith("/"))


def test_the_top_level_is_what_the_design_allows() -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if tracked.returncode != 0:
        pytest.skip("not a git clone")
    top = {name.split("/")[0] for name in tracked.stdout.split("\0") if name}
    assert top <= TOP_LEVEL


@pytest.mark.parametrize("package", PYTHON_IMPORTERS)
def test_a_foreign_package_is_imported_where_it_belongs(package: str) -> None:
    importers = {str(it.relative_to(WORKER)) for it in worker_files() if package in imports(it)}
    assert {it for it in importers if not is_allowed(it, PYTHON_IMPORTERS[package])} == set()


def test_the_installer_imports_the_standard_library_and_itself() -> None:
    foreign = (
        set().union(*map(imports, (WORKER / "install").glob("*.py")))
        - sys.stdlib_module_names
        - {"python_worker", "__future__"}
    )
    assert foreign == set()


@pytest.mark.parametrize("thing", ELIXIR_IMPORTERS)
def test_a_foreign_thing_of_the_client_is_named_in_one_file(thing: str) -> None:
    pattern = re.compile(ELIXIR_IMPORTERS[thing])
    files = [
        str(path.relative_to(CLIENT))
        for path in sorted(CLIENT.rglob("*.ex"))
        if pattern.search(path.read_text(encoding="utf-8"))
    ]
    assert len(files) <= 1, files


def test_generated_code_is_in_folders_of_that_name_only() -> None:
    marks = re.compile(r"(?i)^\W*(code )?generated by .*do not edit", re.MULTILINE)
    stray = [
        str(path.relative_to(ROOT))
        for folder in (WORKER, CLIENT)
        for path in folder.rglob("*.[ep]*")
        if path.suffix in {".py", ".pyi", ".ex"}
        and "generated" not in path.relative_to(ROOT).parts
        and marks.search(path.read_text(encoding="utf-8")[:500])
    ]
    assert stray == []


def test_both_sides_have_one_version() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    mix = re.search(r'@version "([^"]+)"', (ROOT / "mix.exs").read_text(encoding="utf-8"))
    worker = re.search(r'__version__ = "([^"]+)"', (WORKER / "__init__.py").read_text())
    assert mix is not None
    assert worker is not None
    assert mix[1] == worker[1] == project["version"]


def test_the_map_of_the_worker_names_every_room() -> None:
    doc = ast.get_docstring(ast.parse((WORKER / "__init__.py").read_text(encoding="utf-8"))) or ""
    rooms = {path.parent.name for path in WORKER.glob("*/__init__.py")}
    rooms |= {path.stem for path in WORKER.glob("*.py")} - {"__init__"}
    assert [name for name in sorted(rooms) if f"``{name}``" not in doc] == []


# --- Which module imports which ------------------------------------------------


def module_name(path: Path) -> str:
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def own_imports(path: Path, known: set[str]) -> set[str]:
    """The modules of the worker that a module imports, anywhere in it; types included."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert not node.level, f"{path}: imports are absolute"
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= inner & known
            if inner - known:
                found.add(node.module)
    return found & known - {module_name(path)}


@pytest.fixture(scope="module")
def graph() -> dict[str, set[str]]:
    """Each module of the worker, and those that it imports."""
    paths = {module_name(path): path for path in worker_files()}
    generated = {module_name(path): path for path in sorted((WORKER / "generated").rglob("*.py"))}
    known = {*paths, *generated}
    return {name: own_imports(path, known) for name, path in paths.items()}


def room(module: str) -> str:
    """The folder or module at the top of the worker that a module belongs to."""
    return [*module.split("."), ""][1]


def layer(module: str) -> int:
    (place,) = [at for at, rooms in enumerate(LAYERS) if room(module) in rooms]
    return place


def test_every_room_has_a_layer(graph: dict[str, set[str]]) -> None:
    rooms = {room(module) for module in graph} - APART
    assert rooms - frozenset().union(*LAYERS) == set()


def test_imports_point_downwards(graph: dict[str, set[str]]) -> None:
    upward = [
        f"{importer} imports {imported}"
        for importer, imports_ in sorted(graph.items())
        if room(importer) not in APART
        for imported in sorted(imports_)
        if room(imported) in APART or layer(imported) > layer(importer)
    ]
    assert upward == []


def test_rooms_of_one_layer_import_each_other_one_way(graph: dict[str, set[str]]) -> None:
    pairs = {
        (room(importer), room(imported))
        for importer, imports_ in graph.items()
        for imported in imports_
        if room(importer) != room(imported)
    }
    assert [pair for pair in sorted(pairs) if pair[::-1] in pairs] == []


def test_no_imports_form_a_circle(graph: dict[str, set[str]]) -> None:
    assert circle(graph) == []


def circle(graph: dict[str, set[str]]) -> list[str]:
    """The modules of one circle of imports, or none."""
    done: set[str] = set()

    def visit(module: str, way: list[str]) -> list[str]:
        if module in way:
            return [*way[way.index(module) :], module]
        if module in done:
            return []
        for imported in sorted(graph.get(module, ())):
            if found := visit(imported, [*way, module]):
                return found
        done.add(module)
        return []

    return next((found for module in sorted(graph) if (found := visit(module, []))), [])


def test_a_circle_would_be_found() -> None:
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]


@pytest.mark.parametrize("folder", ["engines", "engines/guards", "process"])
def test_what_child_processes_import_through_is_empty(folder: str) -> None:
    """VLLM's child processes import worker extensions and `process.child` by their paths."""
    assert (WORKER / folder / "__init__.py").read_text(encoding="utf-8") == ""
