"""Bases of evaluators, by the path that they have in sentence-transformers."""

from rushlight.evaluation import BaseEvaluator, SentenceEvaluator, SequentialEvaluator

__all__ = ["BaseEvaluator", "SentenceEvaluator", "SequentialEvaluator"]
