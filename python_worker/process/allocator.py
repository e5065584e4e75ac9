"""glibc's allocator, told to keep the memory of large messages."""

from __future__ import annotations

import ctypes
from typing import Final

# Of mallopt(3): what is at least so large has memory of its own, which goes back to the kernel when
# it is freed; and how much that is free at the end of the heap stays. A message is there up to
# three times while it is read.
_M_MMAP_THRESHOLD: Final = -3
_M_TRIM_THRESHOLD: Final = -1
_KEPT: Final = 80 * 1024 * 1024


def keep_freed_memory() -> None:
    """Keeps what messages of up to 80 MB have freed, for the next one.

    glibc does so up to 32 MB. The memory of each copy of a larger one goes back to the kernel, and
    has to be found and filled with zeros anew: to read 64 MB took 215 ms of CPU, and takes 28. The
    price is that a worker which has had such messages is larger by some of them. Other allocators
    than glibc's are left as they are.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _KEPT)
        mallopt(_M_TRIM_THRESHOLD, 3 * _KEPT)
