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
    "sentence_transformer.modules",
    "similarity_functions",
    "sparse_encoder",
    "sparse_encoder.evaluation",
    "sparse_encoder.model",
    "sparse_encoder.modules",
    "sparse_encoder.search_engines",
    "util",
    "util.environment",
    "util.file_io",
    "util.logging",
    "util.misc",
    "util.quantization",
    "util.retrieval",
    "util.similarity",
    "util.tensor",
)
# Older paths are entries in sys.modules: files named like classes would hide the classes. Old pickles name `_logging`.
_OLDER = {
    "LoggingHandler": "util.logging",
    "SentenceTransformer": "sentence_transformer.model",
    "base.modules": "sentence_transformer.modules",
    "cross_encoder.CrossEncoder": "cross_encoder.model",
    "models": "sentence_transformer.modules",
    "sparse_encoder.SparseEncoder": "sparse_encoder.model",
    "sparse_encoder.models": "sparse_encoder.modules",
    "_logging": "util.logging",
}
# Modules of a class or two each, which are one module here. Some have the names of their classes, too.
_CLASSES = {
    "base.evaluation": "evaluator sequential",
    "base.modules": "dense input_module module normalize router transformer",
    "cross_encoder.evaluation": "classification correlation deprecated nano_beir reranking",
    "multi_vector_encoder.evaluation": "distillation information_retrieval nano_beir reranking triplet",
    "sentence_transformer.evaluation": "binary_classification embedding_similarity information_retrieval mse"
    " mse_from_dataframe nano_beir paraphrase_mining reranking translation triplet",
    "sentence_transformer.modules": "bow clip_model cnn dropout layer_norm lstm normalize pooling static_embedding"
    " weighted_layer_pooling word_embeddings word_weights",
    "sparse_encoder.evaluation": "reciprocal_rank_fusion sparse_binary_classification sparse_embedding_similarity"
    " sparse_information_retrieval sparse_mse sparse_nano_beir sparse_reranking sparse_translation sparse_triplet",
    "sparse_encoder.modules": "mlm_transformer sparse_auto_encoder sparse_static_embedding splade_pooling",
}
_NAMED_LIKE_CLASSES = (
    "cross_encoder.evaluation",
    "evaluation",
    "models",
    "sparse_encoder.evaluation",
    "sparse_encoder.models",
)


def install() -> None:
    """Make older paths importable, and let all modules give the reasons for names that they lack."""
    package = __package__
    for path in ("", *(f".{path}" for path in _PATHS)):
        module = importlib.import_module(package + path)
        vars(module)["__getattr__"] = refusing(module.__name__)
        vars(module).setdefault("__path__", [])  # a package, whose modules are asked for from the finder
    _register(_OLDER)
    _register(_classes())
    if RefusingFinder not in sys.meta_path:
        sys.meta_path.append(RefusingFinder)


def alias(package: str, name: str) -> None:
    """Register all public modules of a package under another name, with the reasons for those that it lacks."""
    prefix = f"{package}."
    found = {path: module for path, module in sys.modules.items() if f"{path}.".startswith(prefix) and "._" not in path}
    sys.modules.update({name + path.removeprefix(package): module for path, module in found.items()})
    RefusingFinder.packages.add(name)


def _register(older: dict[str, str]) -> None:
    """Make modules importable by older paths."""
    modules = {f"{__package__}.{path}": sys.modules[f"{__package__}.{now}"] for path, now in older.items()}
    sys.modules.update(modules)
    for path, module in modules.items():
        parent, name = path.rpartition(".")[::2]
        vars(sys.modules[parent]).setdefault(name, module)  # unless it is a class


def _classes() -> dict[str, str]:
    """Return the paths of modules of single classes, with the modules that have them."""
    paths = {f"{module}.{name}": module for module, names in _CLASSES.items() for name in names.split()}
    for path in _NAMED_LIKE_CLASSES:
        module = sys.modules[f"{__package__}.{path}"]
        paths |= {f"{path}.{name}": path for name in module.__all__}
    return {**paths, "evaluation.SimilarityFunction": "util.similarity"}
