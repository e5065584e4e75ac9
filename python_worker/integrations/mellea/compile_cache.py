"""The cache of what torch has compiled for vLLM's models, which can be broken.

vLLM then starts no engine, and its error recommends to remove the cache. Mellea's backend did so,
and tried again.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import shutil
from pathlib import Path
from typing import Final

logger = logging.getLogger(__name__)

FOLDER: Final = "torch_compile_cache"
"""Of the folder that vLLM keeps its files in."""


class CompileCache:
    """The cache of the worker's user."""

    async def remove(self) -> str | None:
        """Removes the cache, and returns the path that it had; None where there was none.

        Engines that run have read what they need of it.
        """
        return await asyncio.to_thread(removed, cache_root() / FOLDER)


def cache_root() -> Path:
    """Where vLLM keeps its files: as ``vllm.envs.VLLM_CACHE_ROOT``, without importing vLLM."""
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    root = os.environ.get("VLLM_CACHE_ROOT") or os.path.join(home, "vllm")
    return Path(root).expanduser()


def removed(folder: Path) -> str | None:
    """Removes a folder, and returns its path; None where there is none.

    It is renamed before: an engine that is using it goes on in the renamed one.
    """
    renamed = folder.with_name(f"{folder.name}.broken-{secrets.token_hex(4)}")
    try:
        folder.rename(renamed)
    except FileNotFoundError:
        return None
    logger.warning("%s is removed: vLLM says that what it has compiled is broken", folder)
    shutil.rmtree(renamed, ignore_errors=True)
    return str(folder)
