"""Modules whose compiled parts do not load: what is done at their import, and to no other.

The packages here stand for torchvision and torchaudio, each as small as what the file relies on.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from python_worker.install import compiled_parts

# `_has_ops()` and `torch.library` are what is used of the real ones.
TORCH = """
class library:
    defined = []
    class Library:
        def __init__(self, *arguments): library.defined.append(arguments)
        def define(self, schema): library.defined.append(schema)
"""
VISION = "import torch\ndef _has_ops(): return {loads}\n"
AUDIO = """
def _load_lib(name):
    if name == "broken": raise OSError("no libcudart")
    if name == "wrong": raise TypeError(name)
    return name == "loads"
"""


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    """A folder with such packages, and the file as set-up installs it."""
    source = Path(compiled_parts.__file__).read_text(encoding="utf-8")
    for name, content in {
        "_vllm_bridge_compiled_parts.py": source,
        "torch.py": TORCH,
        "torchvision/__init__.py": "",
        "torchvision/extension.py": VISION.format(loads=False),
        "torchaudio/__init__.py": "from torchaudio._extension import loaded",
        "torchaudio/_extension/__init__.py": (
            "from .utils import _load_lib\nloaded = [_load_lib(n) for n in ('broken', 'loads')]"
        ),
        "torchaudio/_extension/utils.py": AUDIO,
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return tmp_path


def printed(packages: Path, code: str) -> str:
    """What a Python prints whose site-packages these are."""
    result = subprocess.run(
        [sys.executable, "-S", "-c", f"import _vllm_bridge_compiled_parts\n{code}"],
        env={"PYTHONPATH": str(packages)},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_operators_that_torchvision_did_not_declare_are_declared(packages: Path) -> None:
    code = "import torchvision.extension, torch; print(torch.library.defined)"
    schema = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
    wanted = [("torchvision", "FRAGMENT"), f"nms{schema}", f"qnms{schema}"]
    assert printed(packages, code) == str(wanted)


def test_a_torchvision_that_fits_is_left_alone(packages: Path) -> None:
    (packages / "torchvision/extension.py").write_text(VISION.format(loads=True))
    code = "import torchvision.extension, torch; print(torch.library.defined)"
    assert printed(packages, code) == "[]"


def test_a_library_of_torchaudio_that_does_not_load_counts_as_missing(packages: Path) -> None:
    code = "import torchaudio; print(torchaudio.loaded)"
    assert printed(packages, code) == "[False, True]"


def test_other_errors_of_torchaudio_stay(packages: Path) -> None:
    code = (
        "from torchaudio._extension import _load_lib\n"
        "try: _load_lib('wrong')\nexcept TypeError as error: print(error)"
    )
    assert printed(packages, code) == "wrong"


def test_looking_for_a_module_imports_nothing(packages: Path) -> None:
    """As transformers does, to know what there is."""
    code = (
        "import importlib.util, sys\n"
        "importlib.util.find_spec('torchvision'); print('torch' in sys.modules)"
    )
    assert printed(packages, code) == "False"


def test_packages_that_are_missing_stay_missing(packages: Path) -> None:
    (packages / "torchvision/extension.py").unlink()
    code = "import importlib.util as u; print(u.find_spec('torchvision.extension'))"
    assert printed(packages, code) == "None"


def test_only_set_up_s_copy_changes_imports() -> None:
    assert not any(isinstance(it, compiled_parts.Finder) for it in sys.meta_path)
