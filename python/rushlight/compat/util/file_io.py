"""Files of models and of the web."""

from __future__ import annotations

import importlib
import shutil
import urllib.request
from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING, Any

from rushlight import _source
from rushlight.exceptions import DownloadError, InvalidArgumentError, MissingDependencyError

if TYPE_CHECKING:
    import os

__all__ = ["disabled_tqdm", "http_get", "is_sentence_transformer_model", "load_dir_path", "load_file_path"]


class disabled_tqdm:  # noqa: N801 -- the name that it has there
    """Progress bar that shows nothing."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """Return a bar of tqdm, which is imported now."""
        from tqdm.auto import tqdm

        return tqdm(*args, **{**kwargs, "disable": True})


def http_get(url: str, path: str) -> None:
    """Download a file; it appears under its name when it is complete.

    Raises
    ------
    DownloadError
        The server did not deliver the file.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}_part")
    try:
        if not url.startswith(("http://", "https://")):
            raise InvalidArgumentError(f"url: must begin with http:// or https://, got {url!r}")
        with urllib.request.urlopen(url) as response, part.open("wb") as file:
            shutil.copyfileobj(response, file)
        part.replace(target)
    except OSError as error:
        raise DownloadError(f"{url}: {error}") from error
    finally:
        part.unlink(missing_ok=True)


def is_sentence_transformer_model(
    model_name_or_path: str,
    token: bool | str | None = None,
    cache_folder: str | None = None,
    revision: str | None = None,
    local_files_only: bool = False,
) -> bool:
    """Return True if a folder, or a model on the hub, has `modules.json`."""
    found = load_file_path(
        model_name_or_path,
        "modules.json",
        token=token,
        cache_folder=cache_folder,
        revision=revision,
        local_files_only=local_files_only,
    )
    return found is not None


def load_file_path(
    model_name_or_path: str,
    filename: str | os.PathLike[str],
    subfolder: str = "",
    token: bool | str | None = None,
    cache_folder: str | None = None,
    revision: str | None = None,
    local_files_only: bool = False,
) -> str | None:
    """Return the path of a file of a model, which is downloaded if it is on the hub alone; None if there is none."""
    relative = _relative(subfolder) / _relative(filename)
    folder = Path(model_name_or_path)
    if folder.is_dir():
        return str(folder / relative) if (folder / relative).exists() else None
    hub = _hub()
    try:
        path: str = hub.hf_hub_download(
            model_name_or_path,
            relative.as_posix(),
            revision=revision,
            token=token,
            cache_dir=cache_folder,
            local_files_only=local_files_only,
        )
    except (hub.errors.EntryNotFoundError, hub.errors.HFValidationError, hub.errors.LocalEntryNotFoundError):
        return None
    return path


def load_dir_path(
    model_name_or_path: str,
    subfolder: str,
    token: bool | str | None = None,
    cache_folder: str | None = None,
    revision: str | None = None,
    local_files_only: bool = False,
) -> str | None:
    """Return the path of a model's subfolder, whose model is downloaded if it is on the hub alone; None if absent."""
    relative, folder = _relative(subfolder), Path(model_name_or_path)
    if not folder.is_dir():
        folder = _source.find(
            model_name_or_path,
            "sentence-transformers",
            cache_folder=cache_folder,
            revision=revision,
            local_files_only=local_files_only,
            token=token,
        )
    return str(folder / relative) if (folder / relative).is_dir() else None


def _relative(path: str | os.PathLike[str]) -> Path:
    """Check that a path leads nowhere outside of a folder."""
    windows = PureWindowsPath(path)
    if windows.anchor or ".." in windows.parts or "\0" in str(path):
        raise InvalidArgumentError(f"path: must be relative, without '..', got {str(path)!r}")
    return Path(path)


def _hub() -> Any:
    try:
        hub = importlib.import_module("huggingface_hub")
        importlib.import_module("huggingface_hub.errors")
    except ImportError as error:
        raise MissingDependencyError(
            "files on the hub need huggingface_hub, which is not installed: pip install huggingface_hub"
        ) from error
    return hub
