"""embed_anything as shipped, on candle. It finds the model in a cache."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

PACKAGES = ("embed_anything", "numpy")


def load(model: str, threads: str, name: str) -> Callable[[list[str]], NDArray[object]]:
    """Return what embeds texts by the model called `name`."""
    import numpy as np
    from embed_anything import EmbeddingModel, embed_query

    loaded = EmbeddingModel.from_pretrained_hf(model_id=name)
    return lambda texts: np.array([row.embedding for row in embed_query(texts, loaded)], dtype=np.float32)
