"""The scripted model and its adapters in the formats of llama.cpp and of PEFT."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from python_worker.testing.models.adapters import adapter
from python_worker.testing.models.gguf_twin import gguf_adapter, gguf_model
from python_worker.testing.models.scripted_model import ScriptedModel


@dataclass(frozen=True)
class Files:
    """Where the files are.

    Attributes:
        folder: Of all of them.
        model: The GGUF file of the model.
    """

    folder: Path
    model: Path

    def peft(self, name: str) -> str:
        """The folder of an adapter."""
        return str(adapter(self.folder / "adapters" / name, name))

    def gguf(self, name: str) -> str:
        """The GGUF file of an adapter."""
        path = self.folder / f"{name}.gguf"
        return str(path if path.exists() else gguf_adapter(Path(self.peft(name)), path))


def files_in(folder: Path, model: ScriptedModel) -> Files:
    """Makes the GGUF file of the model."""
    return Files(folder, gguf_model(model.path, folder / "scripted.gguf"))
