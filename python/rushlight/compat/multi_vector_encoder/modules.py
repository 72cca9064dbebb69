"""Pooling of token vectors, which makes an index of documents smaller; and the module that masks tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from rushlight import _arguments, util
from rushlight.compat._parts import Module, MultiVectorMask
from rushlight.compat._tensors import cast, dense, is_tensor, tensor
from rushlight.exceptions import InvalidArgumentError, MissingDependencyError, UnsupportedFeatureError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

__all__ = ["BaseTokenPooling", "HierarchicalTokenPooling", "LambdaTokenPooling", "MultiVectorMask"]


class BaseTokenPooling(Module):
    """Base of pooling; a subclass overrides `pool_one`.

    Parameters
    ----------
    tasks
        Tasks whose texts are pooled: "document", "query" or both; None is documents alone. Texts without a task are
        documents.
    """

    def __init__(self, *, tasks: str | Iterable[str] | None = None) -> None:
        several = ["document"] if tasks is None else tasks
        self._config = {"tasks": [several] if isinstance(several, str) else list(several)}

    def applies_to(self, task: str | None) -> bool:
        """Return True if texts of a task are pooled."""
        return (task or "document") in self.tasks

    def pool(
        self, embeddings: Any, *, task: str | None = None, attention_mask: Any = None, padding_side: str = "right"
    ) -> Any:
        """Pool the vectors of texts.

        Parameters
        ----------
        embeddings
            A list of `(tokens, d)`, or an array or tensor `(n, tokens, d)`, padded with zeros.
        task
            Task of the texts; if it is none of `tasks`, the result is `embeddings` itself.
        attention_mask
            1 for each vector of a padded array that counts, `(n, tokens)`; None takes all between the zeros.
        padding_side
            "left" or "right": the side of the zeros, in a padded result too.

        Raises
        ------
        InvalidArgumentError
            The embeddings have another shape.
        """
        if not self.applies_to(task):
            return embeddings
        if isinstance(embeddings, list):
            for i, rows in enumerate(embeddings):
                if rows.ndim != 2:
                    raise InvalidArgumentError(f"embeddings[{i}]: must be (tokens, d), got {tuple(rows.shape)}")
            return [self.pool_one(rows) for rows in embeddings]
        _arguments.one_of("padding_side", padding_side, ("left", "right"))
        if getattr(embeddings, "ndim", 0) != 3:
            raise InvalidArgumentError("embeddings: must be a list of (tokens, d), or (n, tokens, d)")
        texts = [self.pool_one(rows[kept]) for rows, kept in _kept(embeddings, attention_mask, padding_side)]
        padded = _padded([_arguments.matrix("embeddings", dense(rows)) for rows in texts], embeddings, padding_side)
        return cast(tensor(padded) if is_tensor(embeddings) else padded, embeddings)

    def pool_one(self, embedding: Any, **kwargs: Any) -> Any:
        """Return fewer vectors for those of a text, `(tokens, d)`."""
        raise NotImplementedError(f"{type(self).__name__}.pool_one: override it, and return (fewer tokens, d)")

    def save(self, *_: Any, **__: Any) -> None:
        """Raise `UnsupportedFeatureError`: a model's folder defines its modules."""
        raise UnsupportedFeatureError(f"{type(self).__name__}: it cannot be saved; pass it as token_pooling")


class HierarchicalTokenPooling(BaseTokenPooling):
    """Means of clusters of similar vectors, by Ward's method on cosine distances. It needs scipy.

    Parameters
    ----------
    pool_factor
        Number of vectors that become one, on average; at least 1.
    num_protected_tokens
        Number of vectors at the beginning that stay as they are.
    normalize_embeddings
        Divide all vectors by their L2 norms.
    tasks
        See `BaseTokenPooling`.
    """

    def __init__(
        self,
        pool_factor: float = 1.0,
        *,
        num_protected_tokens: int = 1,
        normalize_embeddings: bool = True,
        tasks: str | Iterable[str] | None = None,
    ) -> None:
        super().__init__(tasks=tasks)
        if not pool_factor >= 1:
            raise InvalidArgumentError(f"pool_factor: must be at least 1, got {pool_factor!r}")
        protected = _arguments.at_least(0, "num_protected_tokens", num_protected_tokens)
        settings = {"pool_factor": pool_factor, "num_protected_tokens": protected}
        self._config = {**settings, "normalize_embeddings": normalize_embeddings, **self._config}

    def pool_one(self, embedding: Any, **_: Any) -> Any:
        """Return the first vectors, and the means of the clusters of the others."""
        vectors = _arguments.matrix("embedding", dense(embedding))
        first, rest = np.split(vectors, [self.num_protected_tokens])
        clusters = max(int(len(rest) // self.pool_factor), 1)
        if clusters < len(rest):
            vectors = np.concatenate([first, _means(rest, clusters)])
        if self.normalize_embeddings:
            vectors = util.normalize_embeddings(vectors)
        return cast(tensor(vectors) if is_tensor(embedding) else vectors, embedding)


class LambdaTokenPooling(BaseTokenPooling):
    """Pooling by a function.

    Parameters
    ----------
    pool_fn
        Function of the vectors of a text, `(tokens, d)`, that returns fewer.
    tasks
        See `BaseTokenPooling`.
    """

    def __init__(self, pool_fn: Callable[[Any], Any], *, tasks: str | Iterable[str] | None = None) -> None:
        super().__init__(tasks=tasks)
        self.pool_fn = pool_fn

    def pool_one(self, embedding: Any, **_: Any) -> Any:
        """Return the function's result."""
        return self.pool_fn(embedding)


def _means(vectors: NDArray[np.float32], clusters: int) -> NDArray[np.float32]:
    """Return the mean of each cluster of similar vectors."""
    try:
        from scipy.cluster import hierarchy
        from scipy.spatial.distance import squareform
    except ImportError:
        raise MissingDependencyError("HierarchicalTokenPooling: needs scipy: pip install scipy") from None
    distances = np.clip(1 - vectors @ vectors.T, 0, 2)
    tree = hierarchy.linkage(squareform(distances, checks=False), method="ward")
    labels = hierarchy.fcluster(tree, t=clusters, criterion="maxclust")
    return np.stack([vectors[labels == label].mean(axis=0) for label in np.unique(labels)])


def _kept(embeddings: Any, mask: Any, padding_side: str) -> Iterable[tuple[Any, Any]]:
    """Yield the vectors of each text, with an index of those that count."""
    for i, rows in enumerate(embeddings):
        if mask is not None:
            yield rows, np.flatnonzero(dense(mask[i]))
            continue
        used = np.flatnonzero(_arguments.matrix("embeddings", dense(rows)).any(axis=1))
        if not len(used):
            yield rows, slice(0)
        else:
            yield rows, slice(used[-1] + 1) if padding_side == "right" else slice(used[0], None)


def _padded(texts: list[NDArray[np.float32]], like: Any, padding_side: str) -> NDArray[np.float32]:
    """Return the vectors of texts in one array, filled with zeros."""
    longest = max(map(len, texts), default=0)
    padded = np.zeros((len(texts), longest, like.shape[-1]), np.float32)
    for row, vectors in zip(padded, texts, strict=True):
        first = 0 if padding_side == "right" else longest - len(vectors)
        row[first : first + len(vectors)] = vectors
    return padded
