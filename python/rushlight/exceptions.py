"""What rushlight raises. Every class is a `RushlightError` and the built-in that one would catch."""

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
    """The base of all errors of rushlight."""


class InvalidArgumentError(RushlightError, ValueError):
    """A value is out of range, or a name unknown: the message says what would be right."""


class InvalidInputError(InvalidArgumentError, TypeError):
    """An input is not text: the message names its type and its index."""


class ModelNotFoundError(RushlightError, FileNotFoundError):
    """A model or one of its files is nowhere: the message lists every place that was looked at."""


class ModelFormatError(RushlightError, ValueError):
    """A file of a model is there and wrong: the message names the file, the key, and what it must be."""


class UnsupportedFeatureError(RushlightError, NotImplementedError):
    """A name of sentence-transformers that `rushlight.compat` lacks: the message says why, or what to use instead."""


class UnsupportedModelError(RushlightError, NotImplementedError):
    """The model has a module, architecture or activation that rushlight lacks: the message says what there is."""


class DownloadError(RushlightError, OSError):
    """The hub did not give a file: the message says which, the status, and what to do."""


class DeviceError(RushlightError, RuntimeError):
    """A device is not in this build, or not on this machine: the message says which."""


class MissingDependencyError(RushlightError, ImportError):
    """An optional package is absent: the message says what to install."""


class OutOfMemoryError(RushlightError, MemoryError):
    """There is no memory for as much as a file or a caller asks for: the message says for what, and how much."""


class InferenceError(RushlightError, RuntimeError):
    """Anything else; its cause, where there is one, is in `__cause__`."""
