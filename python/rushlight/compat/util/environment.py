"""Queries about the machine and the installed packages."""

from __future__ import annotations

import logging
import platform
import sys
from importlib import metadata
from typing import Any

from rushlight import _core
from rushlight.exceptions import MissingDependencyError

__all__ = [
    "check_package_availability",
    "check_version_requirements",
    "get_device_name",
    "get_installed_version",
    "is_accelerate_available",
    "is_datasets_available",
    "is_training_available",
]

logger = logging.getLogger("rushlight")


def get_device_name() -> str:
    """Return the name of the best device of this build and machine, as "cpu", "cuda:0" or "mps"."""
    devices: list[str] = _core.info()["devices"]
    gpus = [device for device in devices if device != "cpu"]
    return "mps" if gpus[:1] == ["metal"] else next(iter(gpus), "cpu")


def check_package_availability(package_name: str, owner: str) -> bool:
    """Return True if a package of that name is installed whose home page has that owner."""
    try:
        found = metadata.metadata(package_name)
    except metadata.PackageNotFoundError:
        return False
    return found["Name"] == package_name and owner in str(found["Home-page"])


def is_accelerate_available() -> bool:
    """Return True if accelerate is installed."""
    return check_package_availability("accelerate", "huggingface")


def is_datasets_available() -> bool:
    """Return True if datasets is installed."""
    return check_package_availability("datasets", "huggingface")


def is_training_available() -> bool:
    """Return False: rushlight does not train."""
    return False


def get_installed_version(package_name: str) -> str | None:
    """Return the version of a package, or of Python for "python"; None if it is not installed.

    An imported module's own `__version__` comes first.
    """
    if package_name == "python":
        return platform.python_version()
    imported = getattr(sys.modules.get(package_name.replace("-", "_")), "__version__", None)
    if isinstance(imported, str):
        return imported
    try:
        return metadata.version(package_name)
    except metadata.PackageNotFoundError:
        return None


def check_version_requirements(requirements: Any, source: str | None = None) -> None:
    """Check that installed packages have the versions that a model of sentence-transformers asks for.

    Parameters
    ----------
    requirements
        Dict of packages, with a specifier such as ">=5.15", or a dict of `specifier` and `reason`.
    source
        Name of the model, for the message.

    Raises
    ------
    ImportError
        A package is absent, or has another version. Requirements that cannot be read are logged instead.
    MissingDependencyError
        packaging, which compares versions, is not installed.
    """
    if not requirements:
        return
    if not isinstance(requirements, dict):
        logger.warning("requirements of %r: expected a dictionary of version specifiers; they are ignored", source)
        return
    unmet = [line for name, wanted in requirements.items() if (line := _unmet(name, wanted, source))]
    if unmet:
        specifiers = [f'"{wanted}"' for wanted, _ in unmet if not wanted.startswith("python")]
        remedy = [f"pip install -U {' '.join(specifiers)}"] if specifiers else []
        lines = [f"{source!r} requires:", *(f"- {wanted}, {found}" for wanted, found in unmet), *remedy]
        raise ImportError("\n".join(lines))


def _unmet(name: str, wanted: Any, source: str | None) -> tuple[str, str] | None:
    """Return a requirement that is not met, and what there is instead."""
    try:
        from packaging.specifiers import InvalidSpecifier, SpecifierSet
        from packaging.version import InvalidVersion, Version
    except ImportError:
        raise MissingDependencyError("check_version_requirements: needs packaging: pip install packaging") from None
    name = "torch" if name == "pytorch" else name
    specifier, reason = (
        (wanted.get("specifier"), wanted.get("reason", "")) if isinstance(wanted, dict) else (wanted, "")
    )
    installed = get_installed_version(name)
    try:
        allowed = SpecifierSet(str(specifier), prereleases=True)
        if installed is not None and allowed.contains(Version(installed)):
            return None
    except (InvalidSpecifier, InvalidVersion) as error:
        logger.warning("Could not verify the requirement of %r, %s %r: %s", source, name, specifier, error)
        return None
    found = f"but {name}=={installed} is installed" if installed else "but it is not installed"
    return f"{name}{specifier}", f"{found}. {reason}".rstrip()
