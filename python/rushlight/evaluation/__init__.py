"""Evaluators: measure a model on data of your own, with the metrics of sentence-transformers.

An evaluator takes data, and is called with a model. It returns an `Evaluation`: a dict of metrics that also computes
confidence intervals, compares two models, and draws. Correlations, precision and NDCG need scipy and scikit-learn: `pip
install 'rushlight[evaluation]'`.

Examples
--------
>>> from rushlight import Model
>>> from rushlight.evaluation import TripletEvaluator
>>> anchors, positives, negatives = ["a small lamp"], ["a lantern"], ["a fish in a pond"]
>>> evaluator = TripletEvaluator(anchors, positives, negatives, name="lamps")
>>> result = evaluator(Model("all-MiniLM-L6-v2"))
>>> result
{'lamps_cosine_accuracy': 1.0}
>>> result.primary_metric
'lamps_cosine_accuracy'
"""

from rushlight.evaluation._base import BaseEvaluator, SentenceEvaluator, SequentialEvaluator
from rushlight.evaluation._cross_encoder import (
    CrossEncoderClassificationEvaluator,
    CrossEncoderCorrelationEvaluator,
    CrossEncoderRerankingEvaluator,
)
from rushlight.evaluation._datasets import load_beir
from rushlight.evaluation._distances import MSEEvaluator, MSEEvaluatorFromDataFrame
from rushlight.evaluation._mining import ParaphraseMiningEvaluator, TranslationEvaluator
from rushlight.evaluation._multi_vector import (
    MultiVectorDistillationEvaluator,
    MultiVectorInformationRetrievalEvaluator,
    MultiVectorRerankingEvaluator,
    MultiVectorTripletEvaluator,
)
from rushlight.evaluation._nano_beir import (
    CrossEncoderNanoBEIREvaluator,
    MultiVectorNanoBEIREvaluator,
    NanoBEIREvaluator,
    SparseNanoBEIREvaluator,
)
from rushlight.evaluation._pairs import BinaryClassificationEvaluator, EmbeddingSimilarityEvaluator
from rushlight.evaluation._reranking import ReciprocalRankFusionEvaluator, RerankingEvaluator
from rushlight.evaluation._result import Comparison, Evaluation, Interval
from rushlight.evaluation._retrieval import InformationRetrievalEvaluator
from rushlight.evaluation._sparse import (
    SparseBinaryClassificationEvaluator,
    SparseEmbeddingSimilarityEvaluator,
    SparseInformationRetrievalEvaluator,
    SparseMSEEvaluator,
    SparseRerankingEvaluator,
    SparseTranslationEvaluator,
    SparseTripletEvaluator,
)
from rushlight.evaluation._triplets import TripletEvaluator

__all__ = [
    "BaseEvaluator",
    "BinaryClassificationEvaluator",
    "Comparison",
    "CrossEncoderClassificationEvaluator",
    "CrossEncoderCorrelationEvaluator",
    "CrossEncoderNanoBEIREvaluator",
    "CrossEncoderRerankingEvaluator",
    "EmbeddingSimilarityEvaluator",
    "Evaluation",
    "InformationRetrievalEvaluator",
    "Interval",
    "MSEEvaluator",
    "MSEEvaluatorFromDataFrame",
    "MultiVectorDistillationEvaluator",
    "MultiVectorInformationRetrievalEvaluator",
    "MultiVectorNanoBEIREvaluator",
    "MultiVectorRerankingEvaluator",
    "MultiVectorTripletEvaluator",
    "NanoBEIREvaluator",
    "ParaphraseMiningEvaluator",
    "ReciprocalRankFusionEvaluator",
    "RerankingEvaluator",
    "SentenceEvaluator",
    "SequentialEvaluator",
    "SparseBinaryClassificationEvaluator",
    "SparseEmbeddingSimilarityEvaluator",
    "SparseInformationRetrievalEvaluator",
    "SparseMSEEvaluator",
    "SparseNanoBEIREvaluator",
    "SparseRerankingEvaluator",
    "SparseTranslationEvaluator",
    "SparseTripletEvaluator",
    "TranslationEvaluator",
    "TripletEvaluator",
    "load_beir",
]
