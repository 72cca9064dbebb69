"""Folder in which the workers of a machine share packed weights, unless the caller names one or none."""

from __future__ import annotations

import logging
import os
import tempfile
from pathlib import Path

logger = logging.getLogger("rushlight")

# Folders that this worker can't use. Nobody asked for one, so it does without.
_unusable: set[str] = set()


def folder() -> str | None:
    """Return the user's folder in the machine's folder of temporary files; None if this worker can't use it."""
    user = os.getuid() if hasattr(os, "getuid") else "here"
    folder = str(Path(tempfile.gettempdir()) / f"rushlight-packed-{user}")
    return None if folder in _unusable else folder


def give_up(used: str | None, error: Exception) -> bool:
    """Log an error of a load that used the folder, which is not used again; return False if it used another or none."""
    if used is None or used != folder():
        return False
    logger.warning("packed weights are not shared: %s", error)
    _unusable.add(used)
    return True
