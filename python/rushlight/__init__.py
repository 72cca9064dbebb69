"""Sentence-transformers models without PyTorch.

Examples
--------
>>> from rushlight import Model
>>> model = Model("all-MiniLM-L6-v2")  # doctest: +SKIP
>>> model.encode(["The weather is lovely today."]).shape  # doctest: +SKIP
(1, 384)
"""

from rushlight import exceptions, util
from rushlight._cache import load
from rushlight._core import __version__
from rushlight._hybrid import HybridEmbeddings
from rushlight._model import Model
from rushlight._multi_vector import MultiVectorModel
from rushlight._process import get_num_threads, info, set_num_threads
from rushlight._reranker import Reranker
from rushlight._server import Server, serve
from rushlight._sparse import SparseModel
from rushlight._sparse_embeddings import SparseEmbeddings
from rushlight._tokenizer import Tokenizer

__all__ = [
    "HybridEmbeddings",
    "Model",
    "MultiVectorModel",
    "Reranker",
    "Server",
    "SparseEmbeddings",
    "SparseModel",
    "Tokenizer",
    "__version__",
    "exceptions",
    "get_num_threads",
    "info",
    "load",
    "serve",
    "set_num_threads",
    "util",
]
