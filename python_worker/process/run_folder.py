"""Where the files of a worker lie, so that all of them can be removed after any end.

vLLM's processes make sockets and files under random names in the folder for
temporary files and shared memory under ``/dev/shm``, and remove them when they
end in peace. After a ``kill -9`` nobody knows whose they were. So everything
has a name of this run: one folder holds what is a file, and its own name begins
that of each piece of shared memory. Who started us may name the folder, and
then removes it as well, because we cannot when it is us who was killed. Where
everybody was killed, the next worker does it: a lock that dies with its holder
tells whose folder is nobody's any more.
"""

from __future__ import annotations

import fcntl
import glob
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from multiprocessing import shared_memory
from pathlib import Path
from typing import Any
from uuid import uuid4

from python_worker.process.vllm_patches import WhenImported
from python_worker.settings import MAX_SOCKET_PATH_BYTES, SettingsError

FOLDER_VARIABLE = "VLLM_BRIDGE_FOLDER"

# Where vLLM makes the sockets of its processes, each named by a UUID.
SOCKETS_VARIABLE = "VLLM_RPC_BASE_PATH"
UUID_CHARACTERS = 36

NETWORK_UTILS = "vllm.utils.network_utils"

SHARED_MEMORY = Path("/dev/shm")

PREFIX = "vllm-"
# A name that nobody else gives a file: what lies beside an old one is removed.
LOCK = ".vllm_bridge.lock"
# The lock of a younger folder may not have been taken yet.
LOCKED_WITHIN_SECONDS = 10.0


def create() -> Path:
    """Have the files of this process and of all below it lie together.

    Returns:
        The folder, which is made here unless the environment names one.

    Raises:
        SettingsError: No folder can be made.
    """
    named = os.environ.get(FOLDER_VARIABLE)
    try:
        folder = Path(named or tempfile.mkdtemp(prefix=PREFIX))
        folder.mkdir(mode=0o700, exist_ok=True)
        hold(folder)
    except OSError as error:
        raise SettingsError(
            f"cannot make a folder for temporary files: {error}; set TMPDIR to one that can be "
            "written"
        ) from error
    os.environ[FOLDER_VARIABLE] = str(folder)
    if len(os.fsencode(folder)) + 1 + UUID_CHARACTERS <= MAX_SOCKET_PATH_BYTES:
        os.environ.setdefault(SOCKETS_VARIABLE, str(folder))
    name_shared_memory()
    for parent in {folder.parent, Path(tempfile.gettempdir())}:
        remove_dead(parent)
    return folder


def adopt() -> None:
    """Have a child process name its files as the worker does."""
    name_shared_memory()
    sys.meta_path.insert(0, WhenImported(NETWORK_UTILS, meet_in_folder))


def hold(folder: Path) -> None:
    """Lock a folder until this process ends, in whatever way."""
    lock = folder / LOCK
    # Never closed, and not inherited.
    descriptor = os.open(lock, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:  # a file system without locks, as NFS can be
        # Whoever could lock it later would take us for dead.
        os.close(descriptor)
        lock.unlink()


def remove_dead(parent: Path) -> None:
    """Remove what workers have left that were killed together with who started them."""
    with suppress(OSError):
        for folder in parent.glob(f"{PREFIX}*"):
            # Its worker lives, it is somebody else's, it is gone meanwhile, ...
            with suppress(OSError):
                remove_if_dead(folder)


def remove_if_dead(folder: Path) -> None:
    """Remove a folder of ours, and not one that a link leads to, that nobody holds.

    Raises:
        OSError: It is none, or somebody holds it.
    """
    with ExitStack() as opened:

        def own(path: str | Path, flags: int, within: int | None = None) -> int:
            descriptor = os.open(path, flags | os.O_NOFOLLOW, dir_fd=within)
            opened.callback(os.close, descriptor)
            if os.fstat(descriptor).st_uid != os.getuid():
                raise PermissionError(f"{path} is somebody else's")
            return descriptor

        lock = own(LOCK, os.O_RDWR, own(folder, os.O_DIRECTORY))
        if time.time() - os.fstat(lock).st_mtime < LOCKED_WITHIN_SECONDS:
            return
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        remove(folder)


def name_shared_memory(environ: Mapping[str, str] = os.environ) -> None:
    """Begin the names of shared memory with that of the run's folder."""
    if folder := environ.get(FOLDER_VARIABLE):
        # macOS takes 31 characters and FreeBSD 14; vLLM runs on neither of them in earnest.
        if not sys.platform.startswith("linux"):
            return
        prefix = f"/{Path(folder).name}_"
        vars(shared_memory)["_SHM_NAME_PREFIX"] = prefix
        vars(shared_memory)["_SHM_SAFE_NAME_LENGTH"] = len(prefix) + 8


def meet_in_folder(module: Any) -> None:
    """Have the processes of one engine meet in a file of the run's folder.

    Args:
        module: ``vllm.utils.network_utils``; as far as this version has it.
    """
    folder = os.environ.get(FOLDER_VARIABLE)
    if folder and hasattr(module, "get_file_store_init_method"):
        module.get_file_store_init_method = lambda: f"file://{folder}/vllm_dist_{uuid4().hex}"


def remove(folder: Path) -> None:
    """Remove everything that carries the name of the run."""
    shutil.rmtree(folder, ignore_errors=True)
    for piece in SHARED_MEMORY.glob(f"{glob.escape(folder.name)}_*"):
        with suppress(OSError):  # somebody else can give theirs such a name
            piece.unlink()
