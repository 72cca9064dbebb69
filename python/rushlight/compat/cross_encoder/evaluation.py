"""Evaluators of `CrossEncoder`, by their path in sentence-transformers; see `rushlight.evaluation`."""

from rushlight.evaluation import (
    CrossEncoderClassificationEvaluator,
    CrossEncoderCorrelationEvaluator,
    CrossEncoderNanoBEIREvaluator,
    CrossEncoderRerankingEvaluator,
)

__all__ = [
    "CEBinaryAccuracyEvaluator",
    "CEBinaryClassificationEvaluator",
    "CECorrelationEvaluator",
    "CEF1Evaluator",
    "CERerankingEvaluator",
    "CESoftmaxAccuracyEvaluator",
    "CrossEncoderClassificationEvaluator",
    "CrossEncoderCorrelationEvaluator",
    "CrossEncoderNanoBEIREvaluator",
    "CrossEncoderRerankingEvaluator",
]


class CEBinaryAccuracyEvaluator(CrossEncoderClassificationEvaluator):
    """Older name of `CrossEncoderClassificationEvaluator`."""


class CEBinaryClassificationEvaluator(CrossEncoderClassificationEvaluator):
    """Older name of `CrossEncoderClassificationEvaluator`."""


class CEF1Evaluator(CrossEncoderClassificationEvaluator):
    """Older name of `CrossEncoderClassificationEvaluator`."""


class CESoftmaxAccuracyEvaluator(CrossEncoderClassificationEvaluator):
    """Older name of `CrossEncoderClassificationEvaluator`."""


class CECorrelationEvaluator(CrossEncoderCorrelationEvaluator):
    """Older name of `CrossEncoderCorrelationEvaluator`."""


class CERerankingEvaluator(CrossEncoderRerankingEvaluator):
    """Older name of `CrossEncoderRerankingEvaluator`."""
