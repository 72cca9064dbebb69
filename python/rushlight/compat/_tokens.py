"""Results of tokenizers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rushlight.compat._tensors import is_tensor, name_of
from rushlight.exceptions import DeviceError

if TYPE_CHECKING:
    from typing_extensions import Self


class Tokens(dict[str, Any]):
    """Dict of token arrays whose names are attributes, too, like the `BatchEncoding` of transformers."""

    def to(self, device: Any, *, non_blocking: bool = False) -> Self:
        """Move all tensors to a device, in place.

        Raises
        ------
        DeviceError
            The values are not tensors, and the device is not "cpu".
        """
        for name, values in self.items():
            if is_tensor(values):
                self[name] = values.to(device, non_blocking=non_blocking)
            elif name_of(device) != "cpu":
                raise DeviceError(f"device {name_of(device)!r}: {name} are no tensors, so they stay on 'cpu'")
        return self

    def __getattr__(self, name: str) -> Any:
        """Return the array of that name."""
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"{name!r}: there are {', '.join(map(repr, self))}") from None
