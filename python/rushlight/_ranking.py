"""Documents sorted by their scores for a query."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from rushlight import _arguments, _core
from rushlight.exceptions import InvalidInputError

if TYPE_CHECKING:
    from numpy.typing import NDArray


def documents(documents: Any) -> list[str]:
    """Return documents as a list of str.

    Raises
    ------
    InvalidInputError
        A document is not text; the message names the first one.
    """
    batch, single = _arguments.texts(documents, "documents")
    if single:
        raise InvalidInputError("documents: must be a list of str, got a str")
    return [_arguments.text(f"documents[{i}]", text, InvalidInputError) for i, text in enumerate(batch)]


def ranked(
    scores: NDArray[np.float32], texts: list[str], top_k: int | None, return_documents: bool
) -> list[dict[str, Any]]:
    """Return `corpus_id`, `score` and, if asked for, `text` of the best documents; ties keep their order."""
    best = _core.ranked(np.ascontiguousarray(scores), top_k)
    if return_documents:
        return [{"corpus_id": i, "score": score, "text": texts[i]} for i, score in best]
    return [{"corpus_id": i, "score": score} for i, score in best]
