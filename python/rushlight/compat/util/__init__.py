"""The functions of `sentence_transformers.util` that are about embeddings, by their names and positions there.

What is a tensor there is one here where torch is installed, and else an array. Inputs are tensors, dense or sparse,
arrays, lists, and columns of tables.

Examples
--------
>>> from rushlight.compat import util
>>> util.semantic_search([[1.0, 0.0]], [[0.0, 1.0], [2.0, 0.0]], top_k=1)
[[{'corpus_id': 1, 'score': 1.0}]]
"""

from typing import TYPE_CHECKING

from rushlight.compat._refused import refusing
from rushlight.compat.util.logging import LoggingHandler
from rushlight.compat.util.quantization import quantize_embeddings
from rushlight.compat.util.retrieval import (
    community_detection,
    information_retrieval,
    paraphrase_mining,
    paraphrase_mining_embeddings,
    semantic_search,
)
from rushlight.compat.util.similarity import (
    SimilarityFunction,
    cos_sim,
    dot_score,
    euclidean_sim,
    manhattan_sim,
    maxsim,
    maxsim_pairwise,
    mean_maxsim,
    mean_maxsim_pairwise,
    pairwise_angle_sim,
    pairwise_cos_sim,
    pairwise_dot_score,
    pairwise_euclidean_sim,
    pairwise_manhattan_sim,
    pytorch_cos_sim,
)
from rushlight.compat.util.tensor import (
    batch_to_device,
    normalize_embeddings,
    select_max_active_dims,
    truncate_embeddings,
)

__all__ = [
    "LoggingHandler",
    "SimilarityFunction",
    "batch_to_device",
    "community_detection",
    "cos_sim",
    "dot_score",
    "euclidean_sim",
    "information_retrieval",
    "manhattan_sim",
    "maxsim",
    "maxsim_pairwise",
    "mean_maxsim",
    "mean_maxsim_pairwise",
    "normalize_embeddings",
    "pairwise_angle_sim",
    "pairwise_cos_sim",
    "pairwise_dot_score",
    "pairwise_euclidean_sim",
    "pairwise_manhattan_sim",
    "paraphrase_mining",
    "paraphrase_mining_embeddings",
    "pytorch_cos_sim",
    "quantize_embeddings",
    "select_max_active_dims",
    "semantic_search",
    "truncate_embeddings",
]

if not TYPE_CHECKING:  # so that type checkers still know what there is
    __getattr__ = refusing(__name__)
