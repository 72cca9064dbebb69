"""Late-interaction scores of embeddings that have a vector per token."""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ParamSpec

import numpy as np

from rushlight import _arguments, _core
from rushlight.compat._tensors import dense, name_of, tensor
from rushlight.exceptions import DeviceError, InvalidArgumentError, InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    _P = ParamSpec("_P")

logger = logging.getLogger("rushlight")


def maxsim(
    a: Any,
    b: Any,
    a_mask: Any = None,
    b_mask: Any = None,
    chunk_elements: int | None = None,
    length_normalize: bool = False,
    device: Any = None,
) -> Any:
    """Score every query against every document.

    A score is the sum, over the query's tokens, of the largest dot product with a token of the document.

    Parameters
    ----------
    a, b
        Token vectors of the queries and of the documents: lists of `(tokens, d)`; an array `(n, tokens, d)`, whose
        rows of zeros are ignored; or `(tokens, d)` for a single text.
    a_mask, b_mask
        1 for each token that counts, 0 for each that doesn't, in the shape of the vectors without `d`. Masks of shorter
        texts may be padded with zeros to the length of the longest text.
    chunk_elements
        At least 1, without effect: token scores are never materialized.
    length_normalize
        Divide each score by the number of query tokens.
    device
        None or "cpu".

    Returns
    -------
    torch.Tensor or numpy.ndarray
        float32 `(n, m)`. A document without tokens scores -1e9.
    """
    return _scored(_core.maxsim, a, b, a_mask, b_mask, chunk_elements, length_normalize, device)


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
    documents = token_vectors("b", b, b_mask)
    if not all(map(len, documents)):
        logger.warning(
            "b: documents without tokens score -1e9; look at their mask, and at the model's skiplist_words and "
            "keep_only_token_ids"
        )
    return tensor(score(name, token_vectors("a", a, a_mask), documents))


def _variant(function: Callable[_P, Any], name: str, score: Any, *, mean: bool) -> Callable[_P, Any]:
    """Return a function with the parameters of `maxsim`, another score, and another default of `length_normalize`."""
    signature = inspect.signature(function)
    parameters = [p.replace(default=mean) if p.name == "length_normalize" else p for p in signature.parameters.values()]
    signature = signature.replace(parameters=parameters)

    @functools.wraps(function)
    def variant(*args: _P.args, **kwargs: _P.kwargs) -> Any:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return _scored(score, **bound.arguments)

    variant.__name__ = variant.__qualname__ = name
    variant.__signature__ = signature  # type: ignore[attr-defined]  # the signature for inspect and IDEs
    return variant


maxsim_pairwise = _variant(maxsim, "maxsim_pairwise", _core.maxsim_pairwise, mean=False)
"""Score each query against the document at the same position, float32 `(n,)`; see `maxsim`."""
mean_maxsim = _variant(maxsim, "mean_maxsim", _core.maxsim, mean=True)
"""Call `maxsim` with `length_normalize=True` as the default."""
mean_maxsim_pairwise = _variant(maxsim, "mean_maxsim_pairwise", _core.maxsim_pairwise, mean=True)
"""Call `maxsim_pairwise` with `length_normalize=True` as the default."""


def token_vectors(name: str, embeddings: Any, mask: Any = None) -> list[NDArray[np.float32]]:
    """Return the vectors of each text that its mask keeps."""
    dimensions = getattr(embeddings, "ndim", 0)
    if dimensions == 2:
        embeddings, mask = [embeddings], [mask] if np.ndim(mask) == 1 else mask
    if not isinstance(embeddings, Iterable):
        raise InvalidArgumentError(f"{name}: must be a list of arrays (tokens, d), got {type(embeddings).__name__}")
    texts = [_arguments.matrix(f"{name}[{i}]", dense(rows)) for i, rows in enumerate(embeddings)]
    if mask is None:
        return [rows[rows.any(axis=1)] for rows in texts] if dimensions == 3 else texts
    if isinstance(mask, str) or not isinstance(mask, Iterable):
        raise InvalidInputError(f"{name}_mask: must be an array, or a list of arrays, got {type(mask).__name__}")
    masks = [np.asarray(row) for row in mask]
    if len(masks) == 1:  # the same for all, as one row is broadcast over many
        masks *= len(texts)
    if len(masks) != len(texts):
        raise InvalidArgumentError(f"{name}_mask: must be one for each of {len(texts)} texts, got {len(masks)}")
    longest = max(map(len, texts), default=0)
    pairs = enumerate(zip(texts, masks, strict=True))
    return [_kept(f"{name}_mask[{i}]", rows, keep, longest) for i, (rows, keep) in pairs]


def _kept(name: str, rows: NDArray[np.float32], mask: NDArray[Any], longest: int) -> NDArray[np.float32]:
    """Return the rows that a mask keeps; a mask may be padded with zeros to the length of the longest text."""
    if mask.ndim != 1 or len(mask) < len(rows) or not np.isin(mask, (0, 1)).all():
        raise InvalidArgumentError(f"{name}: must be 0 or 1 for each of {len(rows)} tokens, got {mask.tolist()}")
    if len(mask) > longest:
        raise InvalidArgumentError(f"{name}: must be of {longest} tokens, as the longest text, got {len(mask)}")
    if mask[len(rows) :].any():
        raise InvalidArgumentError(f"{name}: must be 0 after the {len(rows)} tokens of its text, got {mask.tolist()}")
    kept: NDArray[np.float32] = rows[mask[: len(rows)].astype(bool)]
    return kept
