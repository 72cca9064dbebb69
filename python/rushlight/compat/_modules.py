"""Paths of the modules of sentence-transformers, and the modules of `rushlight.compat` that stand for them."""

from __future__ import annotations

import importlib
import sys

from rushlight.compat._refused import RefusingFinder, refusing

# The paths of 6.2 are files, which type checkers see.
_PATHS = (
    "cross_encoder",
    "cross_encoder.model",
    "multi_vector_encoder",
    "multi_vector_encoder.model",
    "quantization",
    "sentence_transformer",
    "sentence_transformer.model",
    "similarity_functions",
    "sparse_encoder",
    "sparse_encoder.model",
    "util",
    "util.logging",
    "util.quantization",
    "util.retrieval",
    "util.similarity",
    "util.tensor",
)
# Older paths are entries in sys.modules: files named like classes would hide the classes. Old pickles name `_logging`.
_OLDER = {
    "LoggingHandler": "util.logging",
    "SentenceTransformer": "sentence_transformer.model",
    "cross_encoder.CrossEncoder": "cross_encoder.model",
    "sparse_encoder.SparseEncoder": "sparse_encoder.model",
    "_logging": "util.logging",
}


def install() -> None:
    """Make older paths importable, and let all modules give the reasons for names that they lack."""
    package = __package__
    for path in ("", *(f".{path}" for path in _PATHS)):
        module = importlib.import_module(package + path)
        vars(module)["__getattr__"] = refusing(module.__name__)
    sys.modules.update({f"{package}.{older}": sys.modules[f"{package}.{path}"] for older, path in _OLDER.items()})
    if RefusingFinder not in sys.meta_path:
        sys.meta_path.append(RefusingFinder)
