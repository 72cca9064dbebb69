"""Workers that share a model's work."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from rushlight import _arguments, _core
from rushlight.exceptions import InferenceError, InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType


class Pool(AbstractContextManager["Pool"]):
    """The devices over which calls of `encode` spread, for as long as it is open: see `start_multi_process_pool`.

    Workers are threads, so a pool starts at once, needs no `__main__` guard, and what a call leaves behind is nothing.
    """

    def __init__(self, devices: Iterable[str]) -> None:
        self._devices = devices_of("target_devices", devices)
        self._open = True

    def close(self) -> None:
        """End it; calls that are given it after that raise."""
        self._open = False

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Pool({self._devices})" if self._open else "Pool(closed)"

    def devices(self) -> list[str]:
        """Return a device for each worker.

        Raises
        ------
        InferenceError
            Where the pool is closed.
        """
        if not self._open:
            raise InferenceError("this pool is closed")
        return self._devices


def devices_of(name: str, devices: Iterable[str]) -> list[str]:
    """Return the names of devices, at least one.

    Raises
    ------
    InvalidArgumentError
        Where they are none.
    """
    named = [_core.device_name(_arguments.text(name, device)) for device in _arguments.several(name, devices)]
    if not named:
        raise InvalidArgumentError(f"{name}: must name at least one device")
    return named
