"""Embeddings in fewer bits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from rushlight import _arguments, util
from rushlight.compat._tensors import dense
from rushlight.compat.util.indexes import semantic_search_faiss, semantic_search_usearch

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["quantize_embeddings", "semantic_search_faiss", "semantic_search_usearch"]


def quantize_embeddings(
    embeddings: Any, precision: str, ranges: Any = None, calibration_embeddings: Any = None
) -> NDArray[Any] | list[NDArray[Any]]:
    """Quantize embeddings; see `rushlight.util.quantize_embeddings`.

    A list of arrays or tensors `(tokens, d)`, one per text, returns a list of such arrays with shared ranges; an empty
    list returns an empty one.
    """
    if isinstance(embeddings, list) and not embeddings:
        return []
    if not isinstance(embeddings, list) or not embeddings or np.ndim(embeddings[0]) != 2:
        return util.quantize_embeddings(dense(embeddings), precision, ranges, dense(calibration_embeddings))
    texts = [_arguments.matrix(f"embeddings[{i}]", rows) for i, rows in enumerate(embeddings)]
    quantized = util.quantize_embeddings(np.concatenate(texts), precision, ranges, dense(calibration_embeddings))
    return np.split(quantized, np.cumsum([len(rows) for rows in texts])[:-1])
