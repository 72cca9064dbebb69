"""`MultiVectorEncoder` and its scores, by the path that they have in sentence-transformers."""

from rushlight.compat._maxsim import maxsim, maxsim_pairwise
from rushlight.compat.multi_vector_encoder.model import MultiVectorEncoder

__all__ = ["MultiVectorEncoder", "maxsim", "maxsim_pairwise"]
