"""Older path of `rushlight.compat.sentence_transformer.evaluation`."""

from rushlight.compat.sentence_transformer.evaluation import *  # noqa: F403
