"""The operators that DeepSpeed compiles when they are first used: a build that was killed leaves a lock, on which all later starts wait.

PyTorch's lock (torch.utils.file_baton) is an empty file: whose it is cannot be told, and so it is named, not removed.
"""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path

from budget.clock import process_start

log = logging.getLogger(__name__)


def warn_of_locks() -> None:
    """Log which lock of a build was there before this process, and so is not of a rank that started with it."""
    from torch.utils.cpp_extension import get_default_build_root

    root = Path(os.environ.get("TORCH_EXTENSIONS_DIR") or get_default_build_root())
    for lock in sorted(root.glob("**/lock")):
        built = lock.stat().st_mtime
        if built < process_start():
            log.warning(
                "%s is %d minutes old: if no other process is building that operator, it was killed; this start waits until you remove the file",
                lock,
                (time.time() - built) / 60,
            )
