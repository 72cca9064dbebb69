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
from rushlight.compat.util import logging, quantization, similarity, tensor  # noqa: F401 -- its attributes
from rushlight.compat.util.retrieval import *  # noqa: F403 -- which has all of it
from rushlight.compat.util.retrieval import __all__ as __all__

if not TYPE_CHECKING:  # so that type checkers still know what there is
    __getattr__ = refusing(__name__)
