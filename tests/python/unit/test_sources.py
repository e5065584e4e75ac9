"""How the sources are written: a test file for each module, short functions, no inner classes.

``test_layout.py`` says which module may import which; these tests look at each module by itself.
They read the sources and import nothing of them.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
WORKER = ROOT / "python_worker"
TESTS = ROOT / "tests" / "python"

MAX_FUNCTION_LINES = 60

# A module without a test file of its name -> the file that tests it.
TESTED_IN = {
    "__main__": "bridge/test_lifecycle.py",
    "settings_addresses": "unit/test_command_line.py",
    "buffers": "unit/codec/test_large_arrays.py",
    "engines/core_calls": "unit/engines/guards/test_weights.py",
    "node/__main__": "vllm/test_hosts.py",
    "node/cores": "vllm/test_hosts.py",
    "dispatch/lifetimes": "unit/dispatch/test_dispatcher_references.py",
    "dispatch/threads": "unit/dispatch/test_dispatcher_at_once.py",
    "gen/elixir/engines": "unit/gen/elixir/test_function.py",
    "gen/elixir/classes": "unit/gen/test_main.py",
    "gen/elixir/functions": "unit/gen/elixir/test_function.py",
    "gen/elixir/member_docs": "unit/gen/elixir/test_function.py",
    "gen/elixir/parameter_methods": "unit/gen/test_main.py",
    "gen/elixir/protobuf": "unit/gen/test_main.py",
    "gen/elixir/structs": "unit/gen/test_main.py",
    "gen/introspection/introspect": "vllm/test_manifest_current.py",
    "gen/drift/__main__": "unit/gen/drift/test_drift.py",
    "gen/drift/package": "unit/gen/drift/test_drift.py",
    "gen/drift/surface": "unit/gen/drift/test_drift.py",
    "gen/drift/surface_diff": "unit/gen/drift/test_drift.py",
    "gen/drift/surface_source": "unit/gen/drift/test_drift.py",
    # Seen at vLLM's own loaders.
    "engines/media/addresses": "vllm/test_media_loading.py",
    "engines/media/arrays": "vllm/test_media_loading.py",
    "engines/media/handed": "unit/engines/media/test_messages.py",
    "engines/media/loading": "vllm/test_media_loading.py",
    "install/steps": "unit/install/test_main.py",
    "integrations/inference/llama_cpp_child": "vllm/test_llama_cpp.py",
    "integrations/inference/llama_cpp_process": "vllm/test_llama_cpp.py",
    "integrations/llama_factory/arguments": "vllm/test_llama_factory_arguments.py",
    "integrations/llama_factory/vllm_engine": "vllm/test_llama_factory.py",
    "integrations/llama_factory/factory": "vllm/test_llama_factory_arguments.py",
    "integrations/llama_factory/pictures": "vllm/test_llama_factory_inputs.py",
    "integrations/llama_factory/requests": "vllm/test_llama_factory_inputs.py",
    "process/preloaded": "vllm/test_fork_server.py",
    "process/yi_vl_projector": "vllm/test_hosting.py",
    "integrations/mellea/backends": "unit/integrations/mellea/test_local_backend.py",
    # What a fake engine does is seen at the engine: these are the parts it is made of.
    "testing/fake_engine/piece_parser": "unit/testing/fake_engine/test_chats.py",
    "testing/fake_engine/streaming": "bridge/test_inputs.py",
    "testing/fake_engine/utilities": "unit/testing/fake_engine/test_engine.py",
    # What vLLM renders is seen at a real engine.
    "pooling/conversations": "vllm/test_poolings.py",
    "pooling/vllm_renderer": "vllm/test_poolings.py",
    "testing/models/model_files": "unit/testing/models/test_tiny_model.py",
    # vLLM loads these two into processes of its own.
    "testing/logits_processor": "vllm/test_generation.py",
    "testing/worker_extension": "vllm/test_equipped.py",
}

# Modules without a test file of their own: what they are is seen at what uses them.
WITHOUT_A_TEST = {
    # Types, protocols and constants, used by the tests of every module above them.
    "small_models/pirate",
    *("codec/types", "engines/guards/protocols", "engines/guards/text_protocols"),
    "wire/limits",
    "offline/protocols",
    # Seen at a worker with the fake engine: `bridge/`.
    *("rpc/sessions", "server"),
    # Classes of fields alone, and imports of vLLM's: seen at `vllm/test_completions.py`.
    *("chat/answers", "chat/vllm_parts"),
    # Likewise, at `vllm/test_poolings.py`.
    *("pooling/answers", "pooling/vllm_parts"),
    # Parts of the dispatcher, seen at it: `unit/dispatch/test_dispatcher*`, `test_served_classes`.
    "dispatch/values",
}


def modules() -> dict[str, Path]:
    """The modules by hand, by their paths below the worker and without the suffix."""
    paths = (path.relative_to(WORKER) for path in sorted(WORKER.rglob("*.py")))
    return {
        path.with_suffix("").as_posix(): WORKER / path
        for path in paths
        if "generated" not in path.parts
    }


MODULES = modules()


def named_files(module: str) -> Iterator[Path]:
    """The test files that are named after a module: ``test_<module>[_<aspect>].py``."""
    *folders, name = module.split("/")
    name = name.strip("_")
    for folder in (TESTS.joinpath("unit", *folders), TESTS / "vllm"):
        yield from folder.glob(f"test_{name}.py")
        yield from folder.glob(f"test_{name}_*.py")


def is_tested_by_name(module: str) -> bool:
    return any(named_files(module))


def test_every_module_has_a_test_file_of_its_name_or_one_that_is_named_here() -> None:
    missing = [
        module
        for module in MODULES
        if not module.endswith("__init__")
        and not is_tested_by_name(module)
        and module not in TESTED_IN
    ]
    assert set(missing) - WITHOUT_A_TEST == set()


@pytest.mark.parametrize("module", TESTED_IN)
def test_the_file_that_is_named_for_a_module_exists(module: str) -> None:
    assert module in MODULES
    assert (TESTS / TESTED_IN[module]).exists()
    assert not is_tested_by_name(module), "it has a file of its name: take it off the table"


def test_a_unit_test_lies_in_the_folder_of_a_package() -> None:
    strays = []
    for file in sorted((TESTS / "unit").rglob("test_*.py")):
        folder = file.parent.relative_to(TESTS / "unit")
        if not (WORKER / folder).is_dir():
            strays.append(file.relative_to(TESTS).as_posix())
    assert strays == []


# --- Functions and classes


def definitions(node: ast.AST, *, in_function: bool = False) -> Iterator[tuple[ast.stmt, bool]]:
    """Every function and class, and whether it is within a function."""
    for child in ast.iter_child_nodes(node):
        is_function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield child, in_function
        within = is_function or (in_function and not isinstance(child, ast.ClassDef))
        yield from definitions(child, in_function=within)


def long_functions(tree: ast.AST) -> set[str]:
    return {
        node.name
        for node, _ in definitions(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno + 1 > MAX_FUNCTION_LINES
    }


def inner_classes(tree: ast.AST) -> set[str]:
    return {
        node.name
        for node, in_function in definitions(tree)
        if isinstance(node, ast.ClassDef) and in_function
    }


@pytest.fixture(scope="module")
def trees() -> dict[str, ast.AST]:
    return {module: ast.parse(path.read_text(encoding="utf-8")) for module, path in MODULES.items()}


def test_no_function_is_longer_than_the_limit(trees: dict[str, ast.AST]) -> None:
    found = {f"{module}.{name}" for module, tree in trees.items() for name in long_functions(tree)}
    assert found == set()


def test_no_class_is_defined_within_a_function(trees: dict[str, ast.AST]) -> None:
    found = {f"{module}.{name}" for module, tree in trees.items() for name in inner_classes(tree)}
    assert found == set()


def test_offenders_would_be_found() -> None:
    body = "\n".join(["    x = 1"] * MAX_FUNCTION_LINES)
    source = f"def long():\n{body}\ndef f():\n    if x:\n        class A:\n            pass\n"
    tree = ast.parse(source + "class B:\n    class C:\n        def g(self): pass\n")
    assert long_functions(tree) == {"long"}
    assert inner_classes(tree) == {"A"}
