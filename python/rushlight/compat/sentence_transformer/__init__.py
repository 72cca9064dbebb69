"""`SentenceTransformer`, by the path that it has in sentence-transformers."""

from rushlight.compat.sentence_transformer.model import SentenceTransformer

__all__ = ["SentenceTransformer"]
