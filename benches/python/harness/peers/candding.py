"""candding as shipped: another embedder on candle, with candle's own operations. It finds the model in a cache."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

PACKAGES = ("candding", "numpy")


def load(model: str, threads: str, name: str) -> Callable[[list[str]], NDArray[object]]:
    """Return `embed` of the model called `name`."""
    import candding

    loaded = candding.TextEmbedding(name, device="cpu", dtype="f32")
    return loaded.embed
