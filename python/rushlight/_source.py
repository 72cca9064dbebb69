"""Finding and downloading the folder of a model."""

from __future__ import annotations

import logging
import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rushlight import _arguments, _core, _progress
from rushlight.exceptions import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


logger = logging.getLogger("rushlight")


def find(
    name: str | os.PathLike[str],
    organization: str,
    *,
    cache_folder: str | os.PathLike[str] | None,
    revision: str | None,
    local_files_only: bool,
    token: str | bool | None,
) -> Path:
    """Return the folder of a model by name or path, downloaded if necessary; see `Model` for the arguments."""
    path = _arguments.path("model_name_or_path", name)
    if cache_folder is not None:
        cache_folder = _arguments.path("cache_folder", cache_folder)
    if token is not None and not isinstance(token, (str, bool)):
        raise InvalidArgumentError(f"token: must be a str, a bool or None, got {type(token).__name__}")
    looked: list[str] = []
    if revision is not None:
        _arguments.text("revision", revision)
        looked = ["installed model wheels: skipped, because they have no revisions"]
    elif isinstance(name, str) and not os.path.exists(path):  # noqa: PTH110 (Path.exists raises for odd names)
        # Slow to import.
        from rushlight import _wheels

        folder, looked = _wheels.find(name, organization)
        if folder is not None:
            return folder
    search: _core._Search = {
        "organization": organization,
        "cache_folder": cache_folder,
        "revision": revision,
        "local_files_only": bool(local_files_only),
        "token": token,
        "looked": looked,
    }
    with _progress_bar(str(name)) as progress:
        return _core.find_model(path, search, progress)


@contextmanager
def _progress_bar(name: str) -> Iterator[Callable[[int, int], None]]:
    """Return a context with a callback for bytes done and in total; it shows a progress bar to a person."""
    bar: Any = None

    def progress(done: int, total: int) -> None:
        nonlocal bar
        if bar is None:
            logger.info("downloading %s", name)
            bar = _progress.bar(
                shown=_someone_looks(), total=total, desc=name, unit="B", unit_scale=True, unit_divisor=1024
            )
        bar.total = total
        bar.update(done - bar.n)

    try:
        yield progress
    finally:
        if bar is not None:
            bar.close()


def _someone_looks() -> bool:
    if os.environ.get("HF_HUB_DISABLE_PROGRESS_BARS", "").upper() in {"1", "ON", "YES", "TRUE"}:
        return False
    return _progress.is_terminal(sys.stderr) or "ipykernel" in sys.modules or logger.isEnabledFor(logging.INFO)
