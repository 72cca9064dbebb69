"""Paths of the modules of sentence-transformers, and the modules of `rushlight.compat` that stand for them."""

from __future__ import annotations

import importlib
import importlib.abc
import sys
import types
import warnings
from importlib.machinery import ModuleSpec

from rushlight.compat._refused import RefusingFinder, refusing
from rushlight.compat.util.deprecated_import import DEPRECATED_MODULE_PATHS

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
    "multi_vector_encoder.modules",
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
    "util.deprecated_import",
    "util.environment",
    "util.file_io",
    "util.logging",
    "util.misc",
    "util.quantization",
    "util.retrieval",
    "util.similarity",
    "util.tensor",
)
# Older paths that have no successor in 6.2. Old pickles name `_logging`.
_WITHOUT_SUCCESSOR = {"base.modules": "sentence_transformer.modules", "_logging": "util.logging"}
# Modules of a class or two each, which are one module here. Some have the names of their classes, too.
_CLASSES = {
    "base.evaluation": "evaluator sequential",
    "base.modules": "dense input_module module normalize router transformer",
    "cross_encoder.evaluation": "classification correlation deprecated nano_beir reranking",
    "multi_vector_encoder.evaluation": "distillation information_retrieval nano_beir reranking triplet",
    "multi_vector_encoder.modules": "multi_vector_mask token_pooling",
    "sentence_transformer.evaluation": "binary_classification embedding_similarity information_retrieval mse"
    " mse_from_dataframe nano_beir paraphrase_mining reranking translation triplet",
    "sentence_transformer.modules": "bow clip_model cnn dropout layer_norm lstm normalize pooling static_embedding"
    " weighted_layer_pooling word_embeddings word_weights",
    "sparse_encoder.evaluation": "reciprocal_rank_fusion sparse_binary_classification sparse_embedding_similarity"
    " sparse_information_retrieval sparse_mse sparse_nano_beir sparse_reranking sparse_translation sparse_triplet",
    "sparse_encoder.modules": "mlm_transformer sparse_auto_encoder sparse_static_embedding splade_pooling",
}
_ROOT = "sentence_transformers."
# Files named like classes would hide the classes, so most older paths are entries in sys.modules.
_OLDER = {older.removeprefix(_ROOT): path.removeprefix(_ROOT) for older, path in DEPRECATED_MODULE_PATHS.items()}


class _Package(types.ModuleType):
    """Module whose classes stay when a module of the same name is imported."""

    def __setattr__(self, name: str, value: object) -> None:
        if not (isinstance(value, types.ModuleType) and isinstance(vars(self).get(name), type)):
            super().__setattr__(name, value)


class _OlderLoader(importlib.abc.Loader):
    """Loader of a module that is imported already, by another path."""

    def __init__(self, module: types.ModuleType) -> None:
        self._module, self._spec = module, module.__spec__

    def create_module(self, _: object) -> types.ModuleType:
        return self._module

    def exec_module(self, module: types.ModuleType) -> None:
        module.__spec__ = self._spec  # importing has replaced it


class OlderFinder:
    """Finder that gives the modules of 6.2 by older paths of sentence-transformers, with its warning."""

    @classmethod
    def find_spec(cls, fullname: str, *_: object) -> ModuleSpec | None:
        """Return the module that an older path stands for."""
        path = DEPRECATED_MODULE_PATHS.get(fullname)
        if path is None:
            return None
        warnings.warn(
            f"Importing from '{fullname}' is deprecated and will be removed in a future version. "
            f"Please use '{path}' instead.",
            DeprecationWarning,
            stacklevel=2,
        )
        return ModuleSpec(fullname, _OlderLoader(importlib.import_module(path)))


def install() -> None:
    """Make older paths importable, and let all modules give the reasons for names that they lack."""
    package = __package__
    for path in ("", *(f".{path}" for path in _PATHS)):
        module = importlib.import_module(package + path)
        vars(module)["__getattr__"] = refusing(module.__name__)
        vars(module).setdefault("__path__", [])  # a package, whose modules are asked for from the finder
        module.__class__ = _Package
    _register(_WITHOUT_SUCCESSOR)
    _register({f"{module}.{name}": module for module, names in _CLASSES.items() for name in names.split()})
    _register({older: path for older, path in _OLDER.items() if older not in _PATHS})
    if RefusingFinder not in sys.meta_path:
        sys.meta_path.append(RefusingFinder)


def alias(package: str, name: str) -> None:
    """Register all public modules of a package under another name, with the reasons for those that it lacks."""
    prefix = f"{package}."
    found = {path: module for path, module in sys.modules.items() if f"{path}.".startswith(prefix) and "._" not in path}
    aliases = {name + path.removeprefix(package): module for path, module in found.items()}
    sys.modules.update({path: aliases[path] for path in aliases.keys() - DEPRECATED_MODULE_PATHS.keys()})
    RefusingFinder.packages.add(name)
    if OlderFinder not in sys.meta_path:
        sys.meta_path.insert(0, OlderFinder)  # before the finder of files, some of which have older paths


def _register(older: dict[str, str]) -> None:
    """Make modules importable by older paths."""
    modules = {f"{__package__}.{path}": sys.modules[f"{__package__}.{now}"] for path, now in older.items()}
    sys.modules.update(modules)
    for path, module in modules.items():
        parent, name = path.rpartition(".")[::2]
        vars(sys.modules[parent]).setdefault(name, module)  # unless it is a class
