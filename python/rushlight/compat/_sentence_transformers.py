"""Models under the name of the library that they stand in for.

BERTopic, KeyBERT and others recognize models of sentence-transformers by "sentence_transformers" in `str(type(model))`,
and use a model of their own otherwise. So this module is the `__module__` of the classes, and pickles name it.
"""

from rushlight.compat.cross_encoder.model import CrossEncoder
from rushlight.compat.multi_vector_encoder.model import MultiVectorEncoder
from rushlight.compat.sentence_transformer.model import SentenceTransformer
from rushlight.compat.sparse_encoder.model import SparseEncoder

__all__ = ["CrossEncoder", "MultiVectorEncoder", "SentenceTransformer", "SparseEncoder"]
