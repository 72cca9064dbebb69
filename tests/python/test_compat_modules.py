"""Modules of `rushlight.compat`: what is imported of sentence-transformers, by the paths of 6.2 and by older ones."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import pickle
import subprocess
import sys

import pytest

from rushlight import compat
from rushlight.compat import _refused
from rushlight.exceptions import UnsupportedFeatureError

# Modules that people import from, with the names that they import.
THERE = {
    "base.evaluation": ["BaseEvaluator", "SequentialEvaluator"],
    "base.evaluation.evaluator": ["SentenceEvaluator"],
    "cross_encoder": ["CrossEncoder"],
    "cross_encoder.evaluation": ["CECorrelationEvaluator", "CrossEncoderNanoBEIREvaluator"],
    "cross_encoder.evaluation.reranking": ["CrossEncoderRerankingEvaluator"],
    "cross_encoder.model": ["CrossEncoder"],
    "base.modules": ["Dense", "Transformer"],
    "base.modules.dense": ["Dense"],
    "multi_vector_encoder": ["MultiVectorEncoder", "maxsim", "maxsim_pairwise"],
    "multi_vector_encoder.model": ["MultiVectorEncoder"],
    "multi_vector_encoder.modules": ["HierarchicalTokenPooling", "LambdaTokenPooling", "MultiVectorMask"],
    "multi_vector_encoder.modules.token_pooling": ["BaseTokenPooling"],
    "multi_vector_encoder.evaluation": ["MultiVectorDistillationEvaluator"],
    "sentence_transformer": ["SentenceTransformer"],
    "sentence_transformer.evaluation": ["NanoBEIREvaluator", "SimilarityFunction", "TripletEvaluator"],
    "sentence_transformer.evaluation.triplet": ["TripletEvaluator"],
    "sentence_transformer.model": ["SentenceTransformer"],
    "sparse_encoder": ["SparseEncoder"],
    "sparse_encoder.evaluation": ["ReciprocalRankFusionEvaluator", "SparseMSEEvaluator"],
    "sparse_encoder.evaluation.sparse_mse": ["SparseMSEEvaluator"],
    "sparse_encoder.model": ["SparseEncoder"],
    "util": ["LoggingHandler", "SimilarityFunction", "cos_sim", "quantize_embeddings", "semantic_search"],
    "sentence_transformer.modules": ["Pooling", "StaticEmbedding"],
    "sentence_transformer.modules.pooling": ["Pooling"],
    "sparse_encoder.modules": ["MLMTransformer", "SpladePooling"],
    "sparse_encoder.search_engines": ["semantic_search_qdrant", "semantic_search_seismic"],
    "util.deprecated_import": ["DEPRECATED_MODULE_PATHS"],
    "util.environment": ["get_device_name"],
    "util.file_io": ["http_get", "load_file_path"],
    "util.logging": ["LoggingHandler"],
    "util.misc": ["fullname", "similarity_fct_name"],
    "util.quantization": ["quantize_embeddings"],
    "util.retrieval": ["community_detection", "paraphrase_mining", "semantic_search"],
    "util.similarity": ["SimilarityFunction", "cos_sim", "maxsim", "mean_maxsim_pairwise", "pairwise_cos_sim"],
    "util.tensor": ["batch_to_device", "normalize_embeddings", "truncate_embeddings"],
    # Until 5.3:
    "LoggingHandler": ["LoggingHandler"],
    "SentenceTransformer": ["SentenceTransformer"],
    "cross_encoder.CrossEncoder": ["CrossEncoder"],
    "cross_encoder.evaluation.CEF1Evaluator": ["CEF1Evaluator"],
    "evaluation": ["EmbeddingSimilarityEvaluator", "SimilarityFunction"],
    "evaluation.EmbeddingSimilarityEvaluator": ["EmbeddingSimilarityEvaluator"],
    "evaluation.SimilarityFunction": ["SimilarityFunction"],
    "models": ["Dense", "StaticEmbedding"],
    "models.Pooling": ["Pooling"],
    "quantization": ["quantize_embeddings", "semantic_search_faiss"],
    "similarity_functions": ["SimilarityFunction", "cos_sim"],
    "sparse_encoder.SparseEncoder": ["SparseEncoder"],
    "sparse_encoder.evaluation.SparseTripletEvaluator": ["SparseTripletEvaluator"],
}
REFUSED = {
    "backend": "exports to no other engine",
    "base.model": "not a torch module",
    "cross_encoder.modules": "from_backbone builds a model from parts",
    "cross_encoder.losses.MSELoss": "does not train",
    "cross_encoder.trainer": "does not train",
    "datasets": "does not train",
    "evaluation.LabelAccuracyEvaluator": "CrossEncoderClassificationEvaluator evaluates a saved one",
    "losses": "does not train",
    "model_card": "no model cards",
    "multi_vector_encoder.interpretability": "embeds text",
    "multi_vector_encoder.scoring": "util.maxsim",
    "readers.InputExample": "does not train",
    "sentence_transformer.evaluation.label_accuracy": "a classifier in training",
    "sentence_transformer.losses": "does not train",
    "trainer": "does not train",
    "training_args": "does not train",
    "util.distributed": "not part of inference",
    "util.hard_negatives": "does not train",
}


@pytest.mark.parametrize("path", THERE)
def test_modules_are_where_sentence_transformers_has_them(path: str) -> None:
    module = importlib.import_module(f"rushlight.compat.{path}")
    scope: dict[str, object] = {}
    exec(f"import rushlight.compat.{path}\nfrom rushlight.compat.{path} import {', '.join(THERE[path])}", scope)
    for name in THERE[path]:
        assert scope[name] is getattr(module, name)
        assert scope[name] is getattr(compat, name, scope[name])


@pytest.mark.parametrize("first", THERE)
def test_in_any_order_classes_stay_classes(first: str) -> None:
    code = f"""if True:
        import rushlight.compat.{first}
        import importlib, pickle
        for path in {list(THERE)}:
            importlib.import_module("rushlight.compat." + path)
        from rushlight.compat import CrossEncoder, LoggingHandler, SentenceTransformer, cross_encoder, util
        kinds = [CrossEncoder, LoggingHandler, SentenceTransformer, cross_encoder.CrossEncoder]
        assert all(isinstance(kind, type) and pickle.loads(pickle.dumps(kind)) is kind for kind in kinds)
        assert util.select_max_active_dims([[1.0, 2.0]], 1)[0, 1] == 2
    """
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def test_modules_are_members_of_their_packages() -> None:
    for path in ("util.similarity", "util.tensor", "util.retrieval", "util.logging", "cross_encoder.model"):
        package, name = path.split(".")
        assert getattr(getattr(compat, package), name) is importlib.import_module(f"rushlight.compat.{path}")
    assert pickle.loads(pickle.dumps(compat.SimilarityFunction.DOT)) is compat.SimilarityFunction.DOT


@pytest.mark.parametrize("path", REFUSED)
def test_modules_that_are_refused_say_why(path: str) -> None:
    for code in (f"import rushlight.compat.{path}", f"from rushlight.compat.{path} import anything"):
        with pytest.raises(UnsupportedFeatureError, match=rf"^rushlight\.compat\.\w+.*: .*{REFUSED[path]}"):
            exec(code)
    with pytest.raises(ModuleNotFoundError):  # so that who asks whether it is there may do without
        importlib.import_module(f"rushlight.compat.{path}")
    package, _, name = path.partition(".")
    if package in compat.__all__:
        with pytest.raises(UnsupportedFeatureError, match=REFUSED[path]):
            functools.reduce(getattr, name.split("."), getattr(compat, package))


def test_what_is_unheard_of_is_missing_as_python_says() -> None:
    for path in ("unheard", "util.unheard", "cross_encoder.unheard"):
        with pytest.raises(ModuleNotFoundError, match=f"No module named 'rushlight.compat.{path}'"):
            importlib.import_module(f"rushlight.compat.{path}")
        assert importlib.util.find_spec(f"rushlight.compat.{path}") is None
    with pytest.raises(ImportError, match="cannot import name 'unheard'"):
        from rushlight.compat.util import unheard  # noqa: F401


def test_there_is_one_finder() -> None:
    importlib.reload(compat)
    assert sys.meta_path.count(_refused.RefusingFinder) == 1


def test_names_that_are_refused_say_why_wherever_they_are() -> None:
    for code in (
        "from rushlight.compat.util.similarity import all_gather",
        "from rushlight.compat.similarity_functions import all_gather",
        "from rushlight.compat.SentenceTransformer import SentenceTransformerTrainer",
    ):
        with pytest.raises(UnsupportedFeatureError, match=r"^rushlight\.compat\..*: .*rushlight|: it is a tool"):
            exec(code)


def test_modules_of_others_are_not_looked_at() -> None:
    for name in ("losses", "evaluation", "rushlight.losses", "rushlight.compatible.losses"):
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module(name)
