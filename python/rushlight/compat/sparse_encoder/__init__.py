"""`SparseEncoder`, by the path that it has in sentence-transformers."""

from rushlight.compat.sparse_encoder.model import SparseEncoder

__all__ = ["SparseEncoder"]
