"""Pools of workers, and the methods of `Model` that start and use them."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from rushlight import _arguments, _core
from rushlight.exceptions import InferenceError, InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

    from rushlight._model import Model


class Pool(AbstractContextManager["Pool"]):
    """Workers, one per device, for calls of `encode`; see `start_multi_process_pool`.

    Workers are threads, so a pool starts at once and needs no `__main__` guard.
    """

    def __init__(self, devices: Iterable[str]) -> None:
        self._devices = devices_of("target_devices", devices)
        self._open = True

    def close(self) -> None:
        """Close the pool; later calls with it raise `InferenceError`."""
        self._open = False

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Pool({self._devices})" if self._open else "Pool(closed)"

    def devices(self) -> list[str]:
        """Return the device of each worker.

        Raises
        ------
        InferenceError
            The pool is closed.
        """
        if not self._open:
            raise InferenceError("this pool is closed")
        return self._devices


def devices_of(name: str, devices: Iterable[str]) -> list[str]:
    """Return the canonical names of devices.

    Raises
    ------
    InvalidArgumentError
        There is none, or one is unknown.
    """
    named = [_core.device_name(_arguments.text(name, device)) for device in _arguments.several(name, devices)]
    if not named:
        raise InvalidArgumentError(f"{name}: must name at least one device")
    return named


def workers(
    own: str, device: str | Iterable[str] | None, pool: Pool | None, chunk_size: int | None
) -> tuple[list[str], int | None] | None:
    """Return the device of each worker and the size of their chunks; None if the model's `own` device computes."""
    chunk_size = _arguments.optional_positive("chunk_size", chunk_size)
    if pool is None:
        if device is None or (isinstance(device, str) and _core.device_name(device) == own):
            return None
        devices = devices_of("device", [device] if isinstance(device, str) else device)
    elif isinstance(pool, Pool):
        devices = pool.devices()
    else:
        raise InvalidArgumentError(f"pool: must come from start_multi_process_pool, got {type(pool).__name__}")
    return devices, chunk_size


def start_multi_process_pool(self: Model, target_devices: Iterable[str] | None = None) -> Pool:
    """Return a pool with a worker on each device, for `encode(..., pool=...)`.

    Workers are threads that take chunks of texts from one queue; workers on a CPU share its thread limit, which a
    single call uses anyway. Order, errors and (on CPUs) bits are those of a call without a pool.

    Parameters
    ----------
    target_devices
        Devices, possibly repeated; None is the model's own. On another device the model is loaded again, and stays
        there as long as it lives.

    Raises
    ------
    DeviceError
        The build or the machine lacks a device.
    """
    pool = Pool([self._engine.device] if target_devices is None else target_devices)
    self._engine.load_on(pool.devices())
    return pool


def stop_multi_process_pool(self: Model, pool: Pool) -> None:  # noqa: ARG001 -- a method of sentence-transformers
    """Close a pool."""
    pool.close()


def encode_multi_process(
    self: Model,
    inputs: Iterable[str | tuple[str, str]],
    pool: Pool,
    *,
    chunk_size: int | None = None,
    **options: Any,
) -> Any:
    """Older name of `encode` with a pool."""
    return self.encode(inputs, pool=pool, chunk_size=chunk_size, **options)
