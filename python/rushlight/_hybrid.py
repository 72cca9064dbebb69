"""Several kinds of embeddings from one forward pass, and their hybrid scores: methods of `Model`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from rushlight import _arguments, _core
from rushlight._loaded import check_truncation, progress, warn_of_truncation
from rushlight._multi_vector import texts_of
from rushlight._sparse import sparse_of
from rushlight._sparse_embeddings import SparseEmbeddings
from rushlight.exceptions import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from rushlight._loaded import Role
    from rushlight._model import Model

_KINDS = ("dense", "sparse", "multi_vector")


@dataclass(frozen=True, eq=False)
class HybridEmbeddings:
    """Embeddings of texts, of each kind that was asked for and that the model has a head for; see `Model.encode_all`.

    Attributes
    ----------
    dense
        float32 `(n, d)`, or None; `(d,)` for a single text.
    sparse
        A row per text, or None.
    multi_vector
        float32 `(tokens, d)` per text, or None; the array alone for a single text.
    """

    dense: NDArray[np.float32] | None = None
    sparse: SparseEmbeddings | None = None
    multi_vector: Any = None

    def __repr__(self) -> str:
        shapes = {
            "dense": getattr(self.dense, "shape", None),
            "sparse": getattr(self.sparse, "shape", None),
            "multi_vector": getattr(self.multi_vector, "shape", None)
            or (None if self.multi_vector is None else f"{len(self.multi_vector)} texts"),
        }
        return f"HybridEmbeddings({', '.join(f'{kind}={shape}' for kind, shape in shapes.items())})"


def encode_all(
    self: Model,
    inputs: str | Iterable[str | tuple[str, str]],
    *,
    kinds: str | Iterable[str] | None = None,
    prompt_name: str | None = None,
    prompt: str | None = None,
    role: Role | None = None,
    task: str | None = None,
    batch_size: int = 32,
    show_progress_bar: bool | None = None,
    normalize_embeddings: bool = False,
    truncate_dim: int | None = None,
    max_active_dims: int | None = None,
    truncation: Literal["ignore", "warn", "error"] = "ignore",
) -> HybridEmbeddings:
    """Embed texts by all heads of the model in one forward pass.

    bge-m3 and its relatives have heads for dense, sparse and multi-vector embeddings. On a CPU, the embeddings of a
    text have the same bits whatever the other texts, and the dense ones are those of `encode`.

    Parameters
    ----------
    inputs
        Text, or iterable of texts. A tuple of two texts inside an iterable is a pair, which the model reads as one.
    kinds
        Kinds of embeddings to compute, among `embedding_kinds`; None computes all of these.
    prompt_name, prompt, role, task, batch_size, show_progress_bar, truncation
        See `encode`.
    normalize_embeddings
        Divide each dense embedding by its L2 norm, after truncation. Token vectors always have a norm of 1.
    truncate_dim
        Number of columns to keep of dense embeddings and token vectors; overrides the model's `truncate_dim`. Token
        vectors are normalized after it, and so are dense embeddings if the model ends in a Normalize module.
    max_active_dims
        Number of weights to keep of every sparse embedding, largest first; None keeps all.

    Returns
    -------
    HybridEmbeddings
        `dense`, `sparse` and `multi_vector`; None for a kind that was not asked for, or that the model has no head for.

    Raises
    ------
    InvalidArgumentError
        The model has no head for one of `kinds`. Other errors are those of `encode`.

    Examples
    --------
    >>> from rushlight import Model
    >>> model = Model("BAAI/bge-m3")  # doctest: +SKIP
    >>> query = model.encode_all("What is BGE M3?", role="query")  # doctest: +SKIP
    >>> documents = model.encode_all(["BGE M3 is an embedding model.", "BM25 is a function."])  # doctest: +SKIP
    >>> model.hybrid_similarity(query, documents, weights=[0.4, 0.2, 0.4]).shape  # doctest: +SKIP
    (1, 2)
    """
    check_truncation(truncation)
    _arguments.positive("batch_size", batch_size)
    engine = self._engine
    chosen = None if kinds is None else [_arguments.text("kinds", kind) for kind in _arguments.several("kinds", kinds)]
    of_dense = self._request(
        self._prompt(prompt, prompt_name, role, task),
        role,
        task,
        normalize_embeddings,
        truncate_dim,
        truncation=truncation,
    )
    texts, single = _arguments.inputs(inputs)
    with progress(show_progress_bar, len(texts)) as told:
        request: _core._HybridRequest = {
            "kinds": chosen,
            "prompt": of_dense["prompt"],
            "role": of_dense["role"],
            "task": of_dense["task"],
            "normalize_embeddings": of_dense["normalize_embeddings"],
            "truncate_dim": of_dense["truncate_dim"],
            "max_active_dims": _arguments.optional_positive("max_active_dims", max_active_dims),
            "fail_on_truncation": of_dense["fail_on_truncation"],
            "progress": told,
        }
        dense, sparse, multi_vector, truncated, longest = engine.encode_all(texts, request)
    if truncation == "warn":
        warn_of_truncation(truncated, len(texts), longest, engine.max_seq_length_of(role))
    return HybridEmbeddings(
        dense[0] if single and dense is not None else dense,
        None if sparse is None else SparseEmbeddings(*sparse[0], (len(texts), sparse[1])),
        multi_vector[0] if single and multi_vector is not None else multi_vector,
    )


def hybrid_similarity(
    self: Model,
    a: HybridEmbeddings,
    b: HybridEmbeddings,
    *,
    weights: Mapping[str, float] | Sequence[float] | None = None,
) -> NDArray[np.float32]:
    """Score every text in `a` against every one in `b` by several kinds of embeddings.

    A score is the weighted mean of the scores of each kind: the dot product of dense and of sparse embeddings, and the
    mean over the tokens of `a` of the largest dot product with a token of `b`. FlagEmbedding's `compute_score` computes
    the same for pairs.

    Parameters
    ----------
    a, b
        Results of `encode_all`: queries and documents.
    weights
        Weights by kind, `{"dense": 0.4, "sparse": 0.2, "multi_vector": 0.4}`, of which absent ones are 0; or the three
        numbers in this order. None weighs all kinds that both sides have equally.

    Returns
    -------
    numpy.ndarray
        float32 `(n, m)`; higher is more similar.

    Raises
    ------
    InvalidArgumentError
        A weight is negative or of a kind that `a` or `b` lacks, all are 0, or widths differ.
    """
    _ = self._engine  # raises for a closed model
    return _core.hybrid_similarity(_parts("a", a), _parts("b", b), _weights(weights))


def hybrid_similarity_pairwise(
    self: Model,
    a: HybridEmbeddings,
    b: HybridEmbeddings,
    *,
    weights: Mapping[str, float] | Sequence[float] | None = None,
) -> NDArray[np.float32]:
    """Score each text in `a` against the one at the same position in `b`: float32 `(n,)`; see `hybrid_similarity`."""
    _ = self._engine
    return _core.hybrid_similarity_pairwise(_parts("a", a), _parts("b", b), _weights(weights))


def _parts(name: str, embeddings: Any) -> _core._Hybrid:
    """Convert embeddings for the extension module; those of a single text become a batch of one."""
    if not isinstance(embeddings, HybridEmbeddings):
        raise InvalidArgumentError(f"{name}: must be HybridEmbeddings, got {type(embeddings).__name__}")
    dense, sparse, multi_vector = embeddings.dense, embeddings.sparse, embeddings.multi_vector
    return (
        None if dense is None else _arguments.matrix(f"{name}.dense", dense),
        None if sparse is None else sparse_of(f"{name}.sparse", sparse)._parts(),
        None if multi_vector is None else texts_of(f"{name}.multi_vector", multi_vector),
    )


def _weights(weights: Any) -> tuple[float, float, float] | None:
    """Convert weights by kind, or in the order of kinds, to three numbers."""
    if weights is None:
        return None
    if isinstance(weights, Mapping):
        unknown = set(weights).difference(_KINDS)
        if unknown:
            raise InvalidArgumentError(f"weights: must be of {', '.join(_KINDS)}, got {sorted(map(str, unknown))}")
        weights = [weights.get(kind, 0.0) for kind in _KINDS]
    try:
        dense, sparse, multi_vector = (float(weight) for weight in weights)
    except (TypeError, ValueError) as error:
        raise InvalidArgumentError(
            f"weights: must be a mapping, or three numbers for {', '.join(_KINDS)}, got {weights!r}"
        ) from error
    return dense, sparse, multi_vector
