"""Settings of the process: the thread limit, and the features of build and machine."""

from __future__ import annotations

from typing import Any

from rushlight import _arguments, _core


def get_num_threads() -> int:
    """Return the maximum number of threads that compute at once, for all models together.

    The default is the variable RUSHLIGHT_NUM_THREADS, or else the number of cores that affinity and cgroup allow.

    Raises
    ------
    InvalidArgumentError
        The variable is not an integer of at least 1.
    """
    return _core.get_num_threads()


def set_num_threads(n: int) -> None:
    """Set the maximum number of threads that compute at once, for all models together.

    Parameters
    ----------
    n
        Number of threads, at least 1; it may exceed the number of cores.

    Raises
    ------
    InvalidArgumentError
        `n` is not an int of at least 1.
    """
    _core.set_num_threads(_arguments.positive("n", n))


def info() -> dict[str, Any]:
    """Return the features of this build, and those in use on this machine.

    Returns
    -------
    dict
        `version`; `features` of the build; `instruction_set` in use; `instruction_sets` of the machine; `devices`;
        `num_threads`; `cache_folder`, a `pathlib.Path`.

    Raises
    ------
    InvalidArgumentError
        RUSHLIGHT_CPU names an instruction set that the machine lacks, or RUSHLIGHT_NUM_THREADS is invalid.
    """
    return _core.info()
