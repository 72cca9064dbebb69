"""Scores of embeddings that have a vector for each token."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from rushlight import _arguments, _core
from rushlight.compat._tensors import dense, name_of, tensor
from rushlight.exceptions import DeviceError, InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray


def maxsim(
    a: Any,
    b: Any,
    a_mask: Any = None,
    b_mask: Any = None,
    chunk_elements: int | None = None,
    length_normalize: bool = False,
    device: Any = None,
) -> Any:
    """Score every query with every document: the sum over its tokens of the largest dot product with one of theirs.

    Parameters
    ----------
    a, b
        The queries' and the documents' vectors: lists of `(tokens, d)`; `(n, tokens, d)`, where rows of zeros count as
        none; or `(tokens, d)`, which is a single one.
    a_mask, b_mask
        Which tokens count: 0 or 1 for each, in the shape of the vectors without `d`; masks of shorter texts may be as
        wide as the longest text, with zeros at their ends.
    chunk_elements
        At least 1. Nothing is held of the scores of tokens, so that it changes nothing.
    length_normalize
        Whether to divide the scores by the number of the query's tokens.
    device
        None or "cpu".

    Returns
    -------
    torch.Tensor or numpy.ndarray
        float32 `(n, m)`. A document without tokens has the score -1e9.
    """
    return _scored(_core.maxsim, a, b, a_mask, b_mask, chunk_elements, length_normalize, device)


def maxsim_pairwise(
    a: Any,
    b: Any,
    a_mask: Any = None,
    b_mask: Any = None,
    chunk_elements: int | None = None,
    length_normalize: bool = False,
    device: Any = None,
) -> Any:
    """Score each query with the document at its place: float32 `(n,)`; arguments are those of `maxsim`."""
    return _scored(_core.maxsim_pairwise, a, b, a_mask, b_mask, chunk_elements, length_normalize, device)


def mean_maxsim(
    a: Any,
    b: Any,
    a_mask: Any = None,
    b_mask: Any = None,
    chunk_elements: int | None = None,
    length_normalize: bool = True,
    device: Any = None,
) -> Any:
    """Return `maxsim` over the number of the query's tokens."""
    return maxsim(a, b, a_mask, b_mask, chunk_elements, length_normalize, device)


def mean_maxsim_pairwise(
    a: Any,
    b: Any,
    a_mask: Any = None,
    b_mask: Any = None,
    chunk_elements: int | None = None,
    length_normalize: bool = True,
    device: Any = None,
) -> Any:
    """Return `maxsim_pairwise` over the number of the query's tokens."""
    return maxsim_pairwise(a, b, a_mask, b_mask, chunk_elements, length_normalize, device)


def _scored(
    score: Callable[[str, list[NDArray[np.float32]], list[NDArray[np.float32]]], NDArray[np.float32]],
    a: Any,
    b: Any,
    a_mask: Any,
    b_mask: Any,
    chunk_elements: int | None,
    length_normalize: bool,
    device: Any,
) -> Any:
    if chunk_elements is not None:
        _arguments.positive("chunk_elements", chunk_elements)
    if name_of(device) not in (None, "cpu"):
        raise DeviceError(f"device {name_of(device)!r}: scores are computed on 'cpu'")
    name = "meanmaxsim" if length_normalize else "maxsim"
    return tensor(score(name, token_vectors("a", a, a_mask), token_vectors("b", b, b_mask)))


def token_vectors(name: str, embeddings: Any, mask: Any = None) -> list[NDArray[np.float32]]:
    """Return the vectors of each text, without those that count for nothing."""
    dimensions = getattr(embeddings, "ndim", 0)
    if dimensions == 2:
        embeddings, mask = [embeddings], [mask] if np.ndim(mask) == 1 else mask
    if not isinstance(embeddings, Iterable):
        raise InvalidArgumentError(f"{name}: must be a list of arrays (tokens, d), got {type(embeddings).__name__}")
    texts = [_arguments.matrix(f"{name}[{i}]", dense(rows)) for i, rows in enumerate(embeddings)]
    if mask is None:
        return [rows[rows.any(axis=1)] for rows in texts] if dimensions == 3 else texts
    masks = [np.asarray(row) for row in mask]
    if len(masks) == 1:  # the same for all, as one row is broadcast over many
        masks *= len(texts)
    if len(masks) != len(texts):
        raise InvalidArgumentError(f"{name}_mask: must be one for each of {len(texts)} texts, got {len(masks)}")
    longest = max(map(len, texts), default=0)
    pairs = enumerate(zip(texts, masks, strict=True))
    return [_kept(f"{name}_mask[{i}]", rows, keep, longest) for i, (rows, keep) in pairs]


def _kept(name: str, rows: NDArray[np.float32], mask: NDArray[Any], longest: int) -> NDArray[np.float32]:
    """Return the rows that a mask keeps, which may go on with zeros to the length of the longest text."""
    if mask.ndim != 1 or len(mask) < len(rows) or not np.isin(mask, (0, 1)).all():
        raise InvalidArgumentError(f"{name}: must be 0 or 1 for each of {len(rows)} tokens, got {mask.tolist()}")
    if len(mask) > longest:
        raise InvalidArgumentError(f"{name}: must be of {longest} tokens, as the longest text, got {len(mask)}")
    if mask[len(rows) :].any():
        raise InvalidArgumentError(f"{name}: must be 0 after the {len(rows)} tokens of its text, got {mask.tolist()}")
    kept: NDArray[np.float32] = rows[mask[: len(rows)].astype(bool)]
    return kept
