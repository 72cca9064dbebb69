"""Folder in which the workers of a machine share packed weights, unless the caller names one or none."""

from __future__ import annotations

import logging
import os
import tempfile

logger = logging.getLogger("rushlight")

# Nobody asked for the folder, so a worker that can't use it does without.
_usable = True


def folder() -> str | None:
    """Return the user's folder in the machine's folder of temporary files; None if this worker can't use it."""
    user = os.getuid() if hasattr(os, "getuid") else "here"
    return os.path.join(tempfile.gettempdir(), f"rushlight-packed-{user}") if _usable else None


def give_up(used: str | None, error: Exception) -> bool:
    """Log an error of a load that used the folder, which is not used again; return False if it used another or none."""
    global _usable
    if used is None or used != folder():
        return False
    logger.warning("packed weights are not shared: %s", error)
    _usable = False
    return True
