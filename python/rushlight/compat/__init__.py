"""Classes and functions with the names, arguments and results of sentence-transformers 6.2.

Change the import, and keep the rest of your code. `SentenceTransformer`, `CrossEncoder`, `SparseEncoder` and
`MultiVectorEncoder` are subclasses of rushlight's models. Results that are torch tensors there are torch tensors here
if torch is installed, and numpy arrays if not. Unsupported names and arguments raise an error that gives the reason.

Examples
--------
>>> from rushlight.compat import SentenceTransformer, util
>>> model = SentenceTransformer("all-MiniLM-L6-v2")
>>> embeddings = model.encode(["The weather is lovely today.", "It's so sunny outside!"])
>>> round(util.pytorch_cos_sim(embeddings[0], embeddings[1]).item(), 3)
0.666
"""

from rushlight.compat import (
    _modules,
    base,
    cross_encoder,
    evaluation,
    multi_vector_encoder,
    quantization,
    sentence_transformer,
    similarity_functions,
    sparse_encoder,
    util,
)
from rushlight.compat._standing_in import install
from rushlight.compat.cross_encoder import CrossEncoder
from rushlight.compat.multi_vector_encoder import MultiVectorEncoder
from rushlight.compat.sentence_transformer import SentenceTransformer
from rushlight.compat.sparse_encoder import SparseEncoder
from rushlight.compat.util import LoggingHandler, SimilarityFunction, quantize_embeddings

__all__ = [
    "CrossEncoder",
    "LoggingHandler",
    "MultiVectorEncoder",
    "SentenceTransformer",
    "SimilarityFunction",
    "SparseEncoder",
    "base",
    "cross_encoder",
    "evaluation",
    "install",
    "multi_vector_encoder",
    "quantization",
    "quantize_embeddings",
    "sentence_transformer",
    "similarity_functions",
    "sparse_encoder",
    "util",
]

# Version of sentence-transformers whose interface this is; rushlight's own version is rushlight.__version__.
__version__ = "6.2.0"
__MODEL_HUB_ORGANIZATION__ = "sentence-transformers"

_modules.install()
