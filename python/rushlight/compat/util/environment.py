"""Queries about the machine and the installed packages."""

from __future__ import annotations

from importlib import metadata

from rushlight import _core

__all__ = [
    "check_package_availability",
    "get_device_name",
    "is_accelerate_available",
    "is_datasets_available",
    "is_training_available",
]


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
