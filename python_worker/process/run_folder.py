"""The folder for the files of one worker, so that they can be removed however it ends.

vLLM's processes make sockets and files with random names in the folder for temporary files, and
shared memory under ``/dev/shm``. They remove them at an orderly end, but after a ``kill -9``
nothing shows whose they were. So all of them carry the name of one run: files lie in one folder,
and the name of each piece of shared memory begins with the name of that folder.

The client may name the folder. It then removes the folder too, as a killed worker cannot. If both
were killed, the next worker removes it: each worker locks its folder, and the kernel releases the
lock when the worker ends. ``folder_choice`` says where a folder is made that nobody has named.
"""

from __future__ import annotations

import fcntl
import glob
import logging
import os
import shutil
import stat
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from multiprocessing import shared_memory
from pathlib import Path
from typing import Any
from uuid import uuid4

from python_worker.process import folder_choice
from python_worker.process.folder_choice import MAX_FOLDER_BYTES, PREFIX
from python_worker.process.vllm_patches import PatchOnImport
from python_worker.settings import SettingsError

logger = logging.getLogger(__name__)

FOLDER_VARIABLE = "VLLM_BRIDGE_FOLDER"

# The folder in which vLLM makes the sockets of its processes.
SOCKETS_VARIABLE = "VLLM_RPC_BASE_PATH"

NETWORK_UTILS = "vllm.utils.network_utils"

SHARED_MEMORY = Path("/dev/shm")

# A folder is removed only if it holds a file of this name, so no other program may use it.
LOCK = ".vllm_bridge.lock"
# A younger lock file may exist without being locked yet.
LOCKED_WITHIN_SECONDS = 10.0


def create(listen: Sequence[str] = ()) -> tuple[Path, ...]:
    """Makes the folder for the files of this process and its children, and has them use it.

    Args:
        listen: The addresses of the worker. A client whose sockets do not lie in this folder has
            made another one of the same name for them.

    Returns:
        The folders to remove at the end. The environment may name the first, else it is a new one.

    Raises:
        SettingsError: The folder cannot be made.
    """
    # As it was given: vLLM's variable is overwritten below, and is a place to choose from.
    places = [path for _, path in folder_choice.candidates(os.environ)]
    named = os.environ.get(FOLDER_VARIABLE)
    try:
        folder = take(Path(named)) if named else choose()
        folders = (folder, *beside(folder, listen))
        for each in folders:
            lock_folder(each)
    except OSError as error:
        raise SettingsError(
            f"cannot make a folder for temporary files: {error}; set TMPDIR to a folder "
            "that can be written to"
        ) from error
    os.environ[FOLDER_VARIABLE] = os.environ[SOCKETS_VARIABLE] = str(folder)
    name_shared_memory()
    for parent in dict.fromkeys([*(it.parent for it in folders), *map(Path, places)]):
        remove_abandoned(parent)
    return folders


def choose() -> Path:
    """Makes the folder where it fits, and says what was passed over."""
    choice = folder_choice.make(os.environ)
    if choice.warning:
        logger.warning("other users could replace %s: %s", choice.folder, choice.warning)
    elif choice.passed_over:
        logger.info("files are in %s: %s", choice.folder, "; ".join(choice.passed_over))
    return choice.folder


def take(folder: Path) -> Path:
    """Takes the folder that the client has named. It is removed at the end, with what is in it.

    Raises:
        OSError: It is no folder, belongs to another user, or cannot be made.
        SettingsError: It holds files already, or vLLM's sockets do not fit.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    about = folder.lstat()
    if not stat.S_ISDIR(about.st_mode) or about.st_uid != os.getuid():
        raise PermissionError(f"{folder} is no folder of this user")
    if os.listdir(folder):
        raise SettingsError(
            f"{FOLDER_VARIABLE} names {folder}, which is not empty: it would be removed at the "
            "end of the worker; name a new folder, or unset the variable"
        )
    if not folder_choice.PLAIN.match(str(folder)) or len(str(folder)) > MAX_FOLDER_BYTES:
        raise SettingsError(
            f"{FOLDER_VARIABLE} names {folder}, where vLLM's sockets do not fit: at most "
            f"{MAX_FOLDER_BYTES} letters, digits and / . _ - are possible; unset the variable"
        )
    folder.chmod(0o700)
    return folder


def beside(folder: Path, listen: Sequence[str]) -> list[Path]:
    """The other folder of the run, which holds the sockets that the client connects to."""
    paths = (Path(it.removeprefix("unix:")) for it in listen if it.startswith("unix:"))
    parents = dict.fromkeys(path.parent for path in paths)
    return [it for it in parents if it.name == folder.name and it != folder and it.is_dir()]


def set_up_child() -> None:
    """Has a child process name its files and shared memory as the worker does."""
    name_shared_memory()
    sys.meta_path.insert(0, PatchOnImport(NETWORK_UTILS, use_file_store))


def lock_folder(folder: Path) -> None:
    """Locks a folder until this process ends, however it ends."""
    lock = folder / LOCK
    # The descriptor is never closed, and children do not inherit it.
    descriptor = os.open(lock, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:  # a file system without locks, such as some NFS
        # A worker that can lock the file later would take this one for dead.
        os.close(descriptor)
        lock.unlink()


def remove_abandoned(parent: Path) -> None:
    """Removes the folders of workers that were killed together with their clients."""
    with suppress(OSError):
        for folder in parent.glob(f"{PREFIX}*"):
            # Its worker runs, it belongs to another user, it has been removed meanwhile, ...
            with suppress(OSError):
                remove_if_abandoned(folder)


def remove_if_abandoned(folder: Path) -> None:
    """Removes a worker's folder, if this user owns it and no process has it locked.

    Symbolic links are not followed.

    Raises:
        OSError: The folder is none of a worker's, or is locked.
    """
    with ExitStack() as opened:

        def open_own(path: str | Path, flags: int, within: int | None = None) -> int:
            descriptor = os.open(path, flags | os.O_NOFOLLOW, dir_fd=within)
            opened.callback(os.close, descriptor)
            if os.fstat(descriptor).st_uid != os.getuid():
                raise PermissionError(f"{path} belongs to another user")
            return descriptor

        lock = open_own(LOCK, os.O_RDWR, open_own(folder, os.O_DIRECTORY))
        if time.time() - os.fstat(lock).st_mtime < LOCKED_WITHIN_SECONDS:
            return
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        remove(folder)


def name_shared_memory(environ: Mapping[str, str] = os.environ) -> None:
    """Has the names of shared memory begin with the name of the run's folder."""
    if folder := environ.get(FOLDER_VARIABLE):
        # macOS allows names of 31 characters, FreeBSD of 14. vLLM is not used there in earnest.
        if not sys.platform.startswith("linux"):
            return
        prefix = f"/{Path(folder).name}_"
        vars(shared_memory)["_SHM_NAME_PREFIX"] = prefix
        vars(shared_memory)["_SHM_SAFE_NAME_LENGTH"] = len(prefix) + 8


def use_file_store(module: Any) -> None:
    """Has the processes of an engine find each other through a file in the run's folder.

    With tensor parallelism on a CPU, vLLM names shared memory after this file.

    Args:
        module: ``vllm.utils.network_utils``. A version without the function stays as it is.
    """
    folder = os.environ.get(FOLDER_VARIABLE)
    if folder and hasattr(module, "get_file_store_init_method"):
        path = f"{folder}/{Path(folder).name}_dist_"
        module.get_file_store_init_method = lambda: f"file://{path}{uuid4().hex}"


def remove(*folders: Path) -> None:
    """Removes the folders of a run and its shared memory."""
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
        for piece in SHARED_MEMORY.glob(f"{glob.escape(folder.name)}_*"):
            with suppress(OSError):  # another program may have made one of such a name
                piece.unlink()
