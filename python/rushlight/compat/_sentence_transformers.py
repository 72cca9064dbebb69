"""The models by the name of the library that they stand in for.

BERTopic, KeyBERT and others know models of sentence-transformers by "sentence_transformers" in `str(type(model))`, and
take a model of their own for any other. So this is the `__module__` of the classes, by which they are pickled, too.
"""

from rushlight.compat.cross_encoder.model import CrossEncoder
from rushlight.compat.multi_vector_encoder.model import MultiVectorEncoder
from rushlight.compat.sentence_transformer.model import SentenceTransformer
from rushlight.compat.sparse_encoder.model import SparseEncoder

__all__ = ["CrossEncoder", "MultiVectorEncoder", "SentenceTransformer", "SparseEncoder"]
