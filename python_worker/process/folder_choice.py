"""Chooses where the folder of a run is made, so that vLLM's sockets can be made in it.

vLLM names a socket after a UUID, so little is left of the 107 bytes that the path of a socket may
have. It hands paths to ZeroMQ and to torch as parts of URLs, where other characters than letters
and digits mean something or are refused. And whoever can rename the folder can put their own
sockets in its place. A TMPDIR that does not fit is passed over, and another folder is taken.

The client makes the folder for the workers that it starts. It follows the same rules, in
``elixir/lib/vllm/core/worker/folder.ex``; ``tests/python/unit/process/test_folder_choice.py`` holds
the two together.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import socket
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from python_worker.settings import MAX_SOCKET_PATH_BYTES, SettingsError

PREFIX = "vllm-"
RANDOM_BYTES = 4

# The name of each of vLLM's sockets is a UUID.
UUID_CHARACTERS = 36

# The longest folder in which such a socket can be made, and the longest folder for that folder.
MAX_FOLDER_BYTES = MAX_SOCKET_PATH_BYTES - 1 - UUID_CHARACTERS
MAX_PARENT_BYTES = MAX_FOLDER_BYTES - 1 - len(PREFIX) - 2 * RANDOM_BYTES

# Of vLLM, for its sockets; of every program, for temporary files; of the user's session.
VARIABLES = ("VLLM_RPC_BASE_PATH", "TMPDIR", "TEMP", "TMP", "XDG_RUNTIME_DIR")
ALWAYS = ("/tmp", "/var/tmp", "/dev/shm")

PLAIN = re.compile(r"[A-Za-z0-9/._-]*\Z", re.ASCII)


class Choice(NamedTuple):
    """A folder that was made.

    Attributes:
        folder: The folder, for this user only.
        passed_over: Why the places before it were not taken, a sentence each.
        warning: Why other users could replace the folder; None if they cannot.
    """

    folder: Path
    passed_over: tuple[str, ...] = ()
    warning: str | None = None


def candidates(environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yields the places where a folder may be made, in order: what names each, and its path."""
    for name in VARIABLES:
        if path := environ.get(name):
            yield f"{name} ({ascii(path)[1:-1]})", path
    for path in ALWAYS:
        yield path, path


def make(environ: Mapping[str, str] = os.environ) -> Choice:
    """Makes a folder at the first place that fits and where nobody else can replace it.

    If there is none of the latter kind, at the first place that fits.

    Raises:
        SettingsError: There is no place that fits.
    """
    passed_over: list[str] = []
    replaceable: list[tuple[str, str, str]] = []
    for source, path in candidates(environ):
        if (why := misfit(path)) or (why := unusable(path)):
            passed_over.append(f"{source} {why}")
        elif why := replaceable_by_others(path):
            replaceable.append((source, path, why))
            passed_over.append(f"{source} {why}")
        else:
            return Choice(make_in(path), tuple(passed_over))
    for source, path, why in replaceable:
        others = tuple(it for it in passed_over if it != f"{source} {why}")
        return Choice(make_in(path), others, f"{source} {why}")
    raise SettingsError(
        "no folder fits vLLM's sockets: "
        + "; ".join(passed_over)
        + "; set TMPDIR to a short path in which this user can make sockets"
    )


def misfit(path: str) -> str | None:
    """Why no socket of vLLM can have a path in a folder that is made in this one; else None."""
    if not path.startswith("/"):
        return "is no absolute path"
    if not PLAIN.match(path):
        return "has characters other than letters, digits and / . _ -"
    if (length := len(path)) > MAX_PARENT_BYTES:
        return f"has {length} bytes, at most {MAX_PARENT_BYTES} leave room for vLLM's sockets"
    return None


def unusable(path: str) -> str | None:
    """Why no socket can be made in a folder that is made in this one; else None.

    It is tried, with a name as long as vLLM's.
    """
    try:
        folder = make_in(path)
    except OSError as error:
        return f"cannot be used: {error.strerror}"
    try:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.bind(str(folder / ("x" * UUID_CHARACTERS)))
    except OSError as error:
        return f"allows no sockets: {error.strerror}"
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return None


def make_in(path: str) -> Path:
    """Makes a folder with a new name in this one.

    Raises:
        OSError: It cannot be made.
    """
    folder = Path(path) / f"{PREFIX}{secrets.token_hex(RANDOM_BYTES)}"
    folder.mkdir(mode=0o700)
    return folder


def replaceable_by_others(path: str) -> str | None:
    """Why other users could put another folder in the place of one in this folder; else None.

    Of each folder above it, the owner is this user or root. Others may write there only if the
    sticky bit keeps them from renaming what is not theirs. A link counts as what it leads to, and
    its owner could lead it elsewhere.
    """
    trusted = {0, os.getuid()}
    for folder in (Path(path), *Path(path).parents):
        for about in (folder.lstat(), folder.stat()):
            if about.st_uid not in trusted:
                return f"is in {folder}, which belongs to another user"
        if about.st_mode & stat.S_IWOTH and not about.st_mode & stat.S_ISVTX:
            return f"is in {folder}, where every user may rename files (it has no sticky bit)"
    return None
