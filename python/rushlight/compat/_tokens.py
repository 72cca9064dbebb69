"""What tokenizing gives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rushlight.compat._tensors import is_tensor, name_of
from rushlight.exceptions import DeviceError

if TYPE_CHECKING:
    from typing_extensions import Self


class Tokens(dict[str, Any]):
    """Tokens of texts by their names, which are attributes, too, as those of transformers' `BatchEncoding` are."""

    def to(self, device: Any, *, non_blocking: bool = False) -> Self:
        """Put all on a device, in place.

        Raises
        ------
        DeviceError
            Where they are no tensors, and the device is not "cpu".
        """
        for name, values in self.items():
            if is_tensor(values):
                self[name] = values.to(device, non_blocking=non_blocking)
            elif name_of(device) != "cpu":
                raise DeviceError(f"device {name_of(device)!r}: {name} are no tensors, and so on 'cpu'")
        return self

    def __getattr__(self, name: str) -> Any:
        """Return what is there by that name."""
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"{name!r}: there are {', '.join(map(repr, self))}") from None
