"""`MultiVectorEncoder` and its scores, where sentence-transformers has them."""

from typing import TYPE_CHECKING

from rushlight.compat._maxsim import maxsim, maxsim_pairwise
from rushlight.compat._refused import refusing
from rushlight.compat.multi_vector_encoder.model import MultiVectorEncoder

__all__ = ["MultiVectorEncoder", "maxsim", "maxsim_pairwise"]

if not TYPE_CHECKING:  # so that type checkers still know what there is
    __getattr__ = refusing(__name__)
