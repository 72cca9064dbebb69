"""What is the whole process's: how many threads compute, and what there is to compute with."""

from __future__ import annotations

from typing import Any

from rushlight import _arguments, _core


def get_num_threads() -> int:
    """Return how many threads compute at once, of all models together.

    The default is the variable RUSHLIGHT_NUM_THREADS, else the cores that this process may run on, by affinity and
    cgroup.

    Raises
    ------
    InvalidArgumentError
        Where the variable isn't a whole number from 1 up.
    """
    return _core.get_num_threads()


def set_num_threads(n: int) -> None:
    """Set how many threads compute at once, of all models together.

    Parameters
    ----------
    n
        At least 1; more than there are cores is allowed.

    Raises
    ------
    InvalidArgumentError
        Where it is no int, or below 1.
    """
    _core.set_num_threads(_arguments.positive("n", n))


def info() -> dict[str, Any]:
    """Return what this build has, and what it uses on this machine.

    Returns
    -------
    dict
        `version`; `features` of the build; `instruction_set`, the one in use; `instruction_sets`, all that the machine
        has; `devices`; `num_threads`; `cache_folder`, a `pathlib.Path`.

    Raises
    ------
    InvalidArgumentError
        Where RUSHLIGHT_CPU names an instruction set that the machine lacks, or as `get_num_threads`.
    """
    return _core.info()
