"""Documents sorted by their scores for a query."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from rushlight import _arguments
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
    ranked: list[dict[str, Any]] = []
    for i in np.argsort(-scores, kind="stable")[:top_k].tolist():
        ranked.append({"corpus_id": i, "score": float(scores[i])})
        if return_documents:
            ranked[-1]["text"] = texts[i]
    return ranked
