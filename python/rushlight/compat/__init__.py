"""The names of sentence-transformers, for code that was written for it: only the import changes.

Examples
--------
>>> from rushlight.compat import util
>>> util.pytorch_cos_sim([1.0, 0.0], [1.0, 0.0]).tolist()
[[1.0]]
"""

from typing import TYPE_CHECKING, NoReturn

from rushlight.compat import quantization, similarity_functions, util
from rushlight.compat._logging import LoggingHandler
from rushlight.compat._refused import refuse_name_of_package
from rushlight.compat.quantization import quantize_embeddings
from rushlight.compat.similarity_functions import SimilarityFunction

__all__ = [
    "LoggingHandler",
    "SimilarityFunction",
    "quantization",
    "quantize_embeddings",
    "similarity_functions",
    "util",
]

if not TYPE_CHECKING:  # so that type checkers still know what there is

    def __getattr__(name: str) -> NoReturn:
        refuse_name_of_package(name)
