"""Paths of the modules of sentence-transformers, and the modules of `rushlight.compat` that stand for them."""

from __future__ import annotations

import importlib
import sys

from rushlight.compat._refused import RefusingFinder, refusing

# The paths of 6.2 are files, which type checkers see.
_PATHS = (
    "base",
    "base.evaluation",
    "cross_encoder",
    "cross_encoder.evaluation",
    "cross_encoder.model",
    "evaluation",
    "multi_vector_encoder",
    "multi_vector_encoder.evaluation",
    "multi_vector_encoder.model",
    "quantization",
    "sentence_transformer",
    "sentence_transformer.evaluation",
    "sentence_transformer.model",
    "similarity_functions",
    "sparse_encoder",
    "sparse_encoder.evaluation",
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
# Modules of one evaluator each, which are one module here; those of `evaluation` have the names of its classes, too.
_EVALUATORS = {
    "base": "evaluator sequential",
    "cross_encoder": "classification correlation deprecated nano_beir reranking",
    "multi_vector_encoder": "distillation information_retrieval nano_beir reranking triplet",
    "sentence_transformer": "binary_classification embedding_similarity information_retrieval mse mse_from_dataframe"
    " nano_beir paraphrase_mining reranking translation triplet",
    "sparse_encoder": "reciprocal_rank_fusion sparse_binary_classification sparse_embedding_similarity"
    " sparse_information_retrieval sparse_mse sparse_nano_beir sparse_reranking sparse_translation sparse_triplet",
}
_NAMED_LIKE_CLASSES = ("cross_encoder.evaluation", "evaluation", "sparse_encoder.evaluation")


def install() -> None:
    """Make older paths importable, and let all modules give the reasons for names that they lack."""
    package = __package__
    for path in ("", *(f".{path}" for path in _PATHS)):
        module = importlib.import_module(package + path)
        vars(module)["__getattr__"] = refusing(module.__name__)
        vars(module).setdefault("__path__", [])  # a package, whose modules are asked for from the finder
    older = {**_OLDER, **_evaluators()}
    sys.modules.update({f"{package}.{path}": sys.modules[f"{package}.{now}"] for path, now in older.items()})
    if RefusingFinder not in sys.meta_path:
        sys.meta_path.append(RefusingFinder)


def alias(package: str, name: str) -> None:
    """Register all public modules of a package under another name, with the reasons for those that it lacks."""
    prefix = f"{package}."
    found = {path: module for path, module in sys.modules.items() if f"{path}.".startswith(prefix) and "._" not in path}
    sys.modules.update({name + path.removeprefix(package): module for path, module in found.items()})
    RefusingFinder.packages.add(name)


def _evaluators() -> dict[str, str]:
    """Return the paths of evaluators' modules, with the modules that have them."""
    paths = {
        f"{kind}.evaluation.{name}": f"{kind}.evaluation"
        for kind, names in _EVALUATORS.items()
        for name in names.split()
    }
    for path in _NAMED_LIKE_CLASSES:
        module = sys.modules[f"{__package__}.{path}"]
        paths |= {f"{path}.{name}": path for name in vars(module) if name.endswith("Evaluator")}
    return {**paths, "evaluation.SimilarityFunction": "util.similarity"}
