"""Exceptions of rushlight. Each is a `RushlightError` and the built-in exception that fits it best."""

__all__ = [
    "DeviceError",
    "DownloadError",
    "InferenceError",
    "InvalidArgumentError",
    "InvalidInputError",
    "MissingDependencyError",
    "ModelFormatError",
    "ModelNotFoundError",
    "OutOfMemoryError",
    "RushlightError",
    "UnsupportedFeatureError",
    "UnsupportedModelError",
]


class RushlightError(Exception):
    """Base of all exceptions of rushlight."""


class InvalidArgumentError(RushlightError, ValueError):
    """An argument is out of range or unknown; the message lists valid values."""


class InvalidInputError(InvalidArgumentError, TypeError):
    """An input is not text; the message names its type and index."""


class ModelNotFoundError(RushlightError, FileNotFoundError):
    """A model or one of its files was not found; the message lists the locations that were searched."""


class ModelFormatError(RushlightError, ValueError):
    """A file of a model is invalid; the message names the file, the key, and the valid values."""


class UnsupportedFeatureError(RushlightError, NotImplementedError):
    """`rushlight.compat` lacks a name of sentence-transformers; the message gives the reason or an alternative."""


class UnsupportedModelError(RushlightError, NotImplementedError):
    """rushlight lacks a module, architecture or activation of the model; the message lists the supported ones."""


class DownloadError(RushlightError, OSError):
    """The hub did not deliver a file; the message names the file, the status and a remedy."""


class DeviceError(RushlightError, RuntimeError):
    """The build or the machine lacks a device; the message names it."""


class MissingDependencyError(RushlightError, ImportError):
    """An optional package is not installed; the message names it."""


class OutOfMemoryError(RushlightError, MemoryError):
    """A file or a caller asks for more memory than there is; the message names the purpose and the size."""


class InferenceError(RushlightError, RuntimeError):
    """Any other error; `__cause__` holds its cause, if known."""
