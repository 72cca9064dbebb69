"""The names of sentence-transformers, for code that was written for it: only the import changes.

`SentenceTransformer`, `CrossEncoder`, `SparseEncoder` and `MultiVectorEncoder` are the models of `rushlight` with the
arguments, members and results of their namesakes, and `util` has the functions. Results that are tensors there are
tensors here where torch is installed, and else numpy arrays. What rushlight does not do is refused with a reason.

Examples
--------
>>> from rushlight.compat import SentenceTransformer, util
>>> model = SentenceTransformer("all-MiniLM-L6-v2")
>>> embeddings = model.encode(["The weather is lovely today.", "It's so sunny outside!"])
>>> round(util.pytorch_cos_sim(embeddings[0], embeddings[1]).item(), 3)
0.666
"""

import sys
from typing import TYPE_CHECKING

from rushlight.compat import (
    cross_encoder,
    multi_vector_encoder,
    quantization,
    sentence_transformer,
    similarity_functions,
    sparse_encoder,
    util,
)
from rushlight.compat._refused import RefusingFinder, refusing
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
    "cross_encoder",
    "multi_vector_encoder",
    "quantization",
    "quantize_embeddings",
    "sentence_transformer",
    "similarity_functions",
    "sparse_encoder",
    "util",
]

# The interface that this is; rushlight's own version is rushlight.__version__.
__version__ = "6.2.0"
__MODEL_HUB_ORGANIZATION__ = "sentence-transformers"

# Modules named like their classes, where these used to be; as files they would take the classes' places here.
sys.modules.update(
    {
        f"{__name__}.LoggingHandler": util.logging,
        f"{__name__}.SentenceTransformer": sentence_transformer.model,
        f"{__name__}.cross_encoder.CrossEncoder": cross_encoder.model,
        f"{__name__}.sparse_encoder.SparseEncoder": sparse_encoder.model,
    }
)
if RefusingFinder not in sys.meta_path:
    sys.meta_path.append(RefusingFinder)

if not TYPE_CHECKING:  # so that type checkers still know what there is
    __getattr__ = refusing(__name__)
