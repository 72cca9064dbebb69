"""Older path of `rushlight.compat.sentence_transformer.evaluation`."""

from rushlight.compat.sentence_transformer.evaluation import *  # noqa: F403
from rushlight.compat.sentence_transformer.evaluation import __all__  # noqa: F401
